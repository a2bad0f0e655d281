"""Issues to look at and to measure: our own words about shops, models and fine things."""

import datetime

from mailer.content.issue import (
    Image,
    Issue,
    Item,
    Kind,
    Link,
    Numbering,
    Publication,
    Rating,
    Section,
    Source,
)

PUBLICATION = Publication(
    name="The Digital Gazette",
    tagline="What China's shops, labs and ateliers did this week",
    postal_address="Dibao, 1 Courier Lane, Springfield",
    from_address="news@dibao.example",
    outro="That was the week. *Thank you for reading.*",
    segments=(("e-commerce", "E-commerce"), ("ai", "AI"), ("luxury", "Luxury")),
)


def picture(name: str, alt: str, width: int = 0, caption: str = "", credit: str = "") -> Image:
    url = f"https://images.dibao.example/{name}.png"
    return Image(url=url, alt=alt, width=width, caption=caption, credit=credit)


def weekly() -> Issue:
    """An issue with everything in it once."""
    return Issue(
        title="Quiet parcels, loud models",
        subject="{{ first_name|Reader }}, the parcel that learned to wait",
        number=31,
        slug="2026-w47",
        date=datetime.date(2026, 11, 20),
        preheader="Slower delivery sells better, a small model wins, and 小红书 opens a shop.",
        byline="Mei Lindqvist",
        byline_image=picture("mei", "Mei Lindqvist"),
        greeting=(
            "Good morning {{ first_name|reader }},\n\nThe shopping festival is over and the"
            " warehouses are breathing out. This week three merchants told us why they now *promise"
            " less*, and a laboratory in Hangzhou showed what a model can do on"
            " [one graphics card](https://lab.example.cn/one-card)."
        ),
        numbering=Numbering.ISSUE,
        sections=(
            Section(title="The big stories", items=_stories()),
            Section(
                title="Also worth your coffee", intro="Shorter, not smaller.", items=_shorter()
            ),
            Section(
                title="A closer look", kind=Kind.DEEP_DIVE, restart_numbering=True, items=(_dive(),)
            ),
        ),
        outro_title="Wrapping up",
        outro="Next week we read the small print of three loyalty programmes, so that you"
        " need not.",
        ctas=(Link("Read the archive", "https://gazette.example.org/archive"),),
        rating=Rating("How was this issue?"),
        comments_url="https://gazette.example.org/2026-w47#comments",
        contact="Tips and corrections: [desk@dibao.example](mailto:desk@dibao.example)",
    )


def _stories() -> tuple[Item, ...]:
    return (
        Item(
            id="slow-parcels",
            title="Merchants discover that a slower parcel sells better",
            label="Exclusive",
            segments=("e-commerce", "ai"),
            image=picture(
                "harbour",
                "A parcel boat in a harbour at dawn",
                width=1024,
                caption="The night boat to Zhoushan carries parcels that nobody is waiting for",
                credit="Photo: our own",
            ),
            body=(
                "Four large sellers of household goods let buyers choose **delivery within nine"
                " days** for a discount of 3%. Two in five took it, and returns fell by a"
                " third.\n\n"
                "> Nobody regrets what they had nine days to look forward to.\n\n"
                "The reasons they gave:\n\n"
                "- lorries leave full, not on time\n- buyers order once a week, not once a day\n"
                "- fewer parcels come back"
            ),
            sources=(
                Source("https://www.parcelpost.example.com/slow", language="zh"),
                Source("https://ledger.example.net/a", publisher="The Ledger", paywall=True),
            ),
            first_reported_by="Harbour Weekly",
            related=(
                Link("What the couriers say", "https://couriers.example.org/voices", "💁🏻"),
                Link("The same idea in Finland", "https://posti.example.fi/hidas", "🇫🇮"),
            ),
        ),
        Item(
            id="small-model",
            title="A model of three billion weights beats one of seventy",
            segments=("ai",),
            image=picture("model", "A chart of two curves that cross", width=640),
            body=(
                "The team in Hangzhou trained on *fewer and better* pages and let the model"
                " throw away what it found dull. It runs on a telephone, says the paper,"
                " and for `grep`-like"
                " questions it is quicker than asking a person."
            ),
            sources=(Source("https://lab.example.cn/paper"),),
            cta=Link("Try the model yourself", "https://lab.example.cn/try"),
        ),
        Item(
            id="red-book-shop",
            title="小红书 opens a shop without shelves in the old French quarter of Shanghai",
            segments=("e-commerce", "luxury"),
            image=picture("shop", "An empty shop with one chair"),
            body=(
                "The room holds one chair. Visitors point their telephone at it and see what"
                " others wrote about chairs; 即刻 users queue for the chair itself. Rent:"
                " US$1.7 million"
                " a year, paid by the makers of chairs."
            ),
            sources=(Source("https://citypaper.example.com/chair"),),
            feedback=True,
        ),
        Item(
            id="tip",
            title="",
            kind=Kind.TIP,
            body="Put the **price of shipping** in the first picture: baskets abandoned at the"
            " till fall by half.",
        ),
    )


def _shorter() -> tuple[Item, ...]:
    return (
        Item(
            id="silk",
            title="Two silk houses share one dyer, and one waiting list of remarkable length,"
            " which neither of them will hear of shortening before the spring",
            segments=("luxury",),
            body="The dyer is seventy-eight. She takes no telephone calls and no new colours.",
            sources=(Source("https://atelier.example.it/seta", language="it"),),
            correction="last week we called her sixty-eight.",
        ),
        Item(
            id="watch",
            title="The watch that shows only the month",
            segments=("luxury",),
            image=picture("watch", "A watch face with one hand"),
            body="It costs HK$130,000 and sold out in a morning. The maker calls it *patient*.",
            sources=(Source("https://hours.example.ch/month"),),
        ),
        Item(
            id="sponsor",
            title="Boxes that fold themselves",
            kind=Kind.SPONSOR,
            body="Flat in the warehouse, square on the belt. Ask for a sample with your"
            " logo on it.",
            cta=Link("Order a sample box", "https://boxes.example.com/sample"),
        ),
    )


def _dive() -> Item:
    return Item(
        id="loyalty",
        title="Loyalty, taken apart",
        kind=Kind.DEEP_DIVE,
        author="Jonas Wei",
        image=picture("cards", "A fan of loyalty cards", width=1024),
        body="We joined twelve programmes and kept every letter for a year. Three things"
        " we learned.",
        items=(
            Item(
                id="loyalty-1",
                title="Points are a currency that only falls",
                body="A point bought a coffee in March, two thirds of one in June, and in"
                " October a [discount on a coffee](https://points.example.org/october).",
            ),
            Item(
                id="loyalty-2",
                title="Birthdays are worth more than purchases",
                body="1. One kind letter\n2. One small parcel\n3. No offer at all",
            ),
            Item(
                id="loyalty-3",
                title="The best programme has no name",
                body="It is a shop assistant.",
            ),
        ),
    )


def chinese() -> Issue:
    """An issue in Chinese alone."""
    items = tuple(
        Item(
            id=f"xiaoxi-{n}",
            title=title,
            segments=("ai",),
            image=picture(f"cn{n}", "一张示意图") if n % 2 else None,
            body="这家公司表示，新的服务将在今年年底之前面向所有用户开放。与此同时，团队正在努力降低成本，"
            "并且希望让更多的小型商家也能够使用这一工具。分析人士认为，竞争将会更加激烈。" * 2,
            sources=(Source("https://xinwen.example.cn/a", publisher="科技新闻"),),
        )
        for n, title in enumerate(("小模型胜过大模型", "没有货架的商店", "慢一点的快递更受欢迎"), 1)
    )
    return Issue(
        title="安静的包裹，响亮的模型",
        number=31,
        slug="zh-2026-w47",
        date=datetime.date(2026, 11, 20),
        language="zh-Hans",
        greeting="{{ first_name|读者 }}，早上好！本周的三条消息。",
        numbering=Numbering.ISSUE,
        sections=(Section(title="人工智能", items=items),),
        outro_title="结语",
        outro="下周再见。",
    )


def many(count: int = 45, *, language: str = "en") -> Issue:
    """An issue of `count` items, each with a picture and some 200 characters of text."""
    words = (
        "The company says the service opens to everybody before the end of the year, at a price"
        " that small shops can pay. People who tried it speak of {n} quiet hours a week,"
        " and of fewer"
        " parcels going back to the warehouse."
    )
    keys = ("e-commerce", "ai", "luxury")
    items = tuple(
        Item(
            id=f"story-{n}",
            title=f"Story {n}: an atelier, a laboratory and a warehouse agree",
            segments=(keys[n % 3],),
            image=picture(f"p{n}", f"A picture for story {n}"),
            body=words.format(n=n),
            sources=(Source(f"https://paper{n % 7}.example.com/story/{n}"),),
        )
        for n in range(1, count + 1)
    )
    cuts = [items[start::3] for start in range(3)]
    sections = tuple(
        Section(title=title, items=part)
        for title, part in zip(("Commerce", "Models", "Ateliers"), cuts, strict=True)
    )
    return Issue(
        title="Everything at once",
        slug="everything",
        number=7,
        date=datetime.date(2026, 1, 2),
        language=language,
        greeting="Good morning {{ first_name|reader }}, there is much to read.",
        numbering=Numbering.ISSUE,
        sections=sections,
    )
