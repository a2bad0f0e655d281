"""Words and signs by which pages and newsletters in general mark their parts.

Nothing here comes from one digest. Every pattern is anchored or bounded, so that reading a line
takes time in proportion to its length.
"""

import re

_I = re.IGNORECASE

INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

CHROME = {
    *("top of page", "bottom of page", "back to top", "skip to content", "skip to main content"),
    *("comments", "comment", "no comments", "leave a comment", "write a comment", "add a comment"),
    *("reply", "like", "share", "share this", "share this post", "share this article", "tweet"),
    *("share on facebook", "share on twitter", "share on linkedin", "pin it", "print", "save"),
    *("print this", "email this", "copy link", "bookmark", "read online", "view online"),
    *("view in browser", "view this email in your browser", "unsubscribe", "manage preferences"),
    *("update your preferences", "forward to a friend", "advertisement", "sponsored", "menu"),
    *("home", "search", "log in", "login", "sign in", "sign up", "subscribe", "subscribe now"),
    *("follow us", "loading", "previous", "next", "previous post", "next post", "see all"),
    *("related posts", "recent posts", "all posts", "table of contents", "accept cookies"),
    "post not marked as liked",
}
CHROME_SHAPE = re.compile(
    r"\d+ (?:min(?:ute)?s? read|views?|likes?|comments?|shares?)|(?:©|\(c\)|copyright\b).{0,50}", _I
)

BYLINE = re.compile(
    r"(?:(?:Writer|Author)['’]s (?:picture|photo|avatar|image)\s*(\S.{0,60})"  # noqa: RUF001
    r"|(?:By|Written by|Words by)[: ]\s*"
    r"([A-Z][\w.'’-]*(?: (?:(?:and|&|of|de|van|von) )?[A-Z][\w.'’-]*){0,4}))$"  # noqa: RUF001
)
NUMBERED = re.compile(r"(?:(\d{1,3})\s*(?:[.)、．](?!\d)|:(?=\s))|#(\d{1,3})[.:)]?(?=\s))\s*(\S.*)")  # noqa: RUF001
MARKDOWN = re.compile(r"(#{1,6})\s+(\S.*?)\s*#*$")
MARKED = re.compile(r"\d{1,3}[.)、]|[-*•‣◦▪●]\s")
BULLET = re.compile(r"(?:[-*•‣◦·▪▫●○■□➤►▶→✓✔☑❖](?:\s+|(?<=[•●▪■➤►✓✔]))|[–—]\s+)(\S.*)")  # noqa: RUF001
_PICTURE = (
    "\U0001f000-\U0001faff\u2600-\u26ff\u2700-\u27bf\u2b00-\u2bff\u231a-\u23ff\u2049\u203c"
    "\u3030\u303d"
)
EMOJI = re.compile(
    rf"((?:[{_PICTURE}][{_PICTURE}\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]*\s*)+)(.*)"
)
WORD = re.compile(r"[^\W_][\w'’&.-]*")  # noqa: RUF001
WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
CAMEL = re.compile(r"[a-z]{1,2}[A-Z]")  # iPhone, eBay
SMALL = {
    *("about", "after", "amid", "from", "into", "near", "onto", "over", "than", "that", "this"),
    *("upon", "will", "with"),
}

CONTINUED = re.compile(r"[.,;:!?)\]”’%](?:\s+\S|$)")  # noqa: RUF001
ABBREVIATED = re.compile(
    r"(?:\b[a-z]\.[a-z]|\b(?:vs|inc|corp|co|ltd|no|mr|mrs|ms|dr|st|jr|etc|e\.g|i\.e|al))\.$", _I
)
INNER = re.compile(
    r"(\S{0,12}[.!?。！？])[\"”’)]?"  # noqa: RUF001
    r"(?:\s+(?=[\"“‘(]?[^\W\d_a-z])|(?<=[。！？])(?=\S))"  # noqa: RUF001
)
STOP = re.compile(r"(?:[a-z0-9%)]{2}|[\u2e80-\u9fff])[.!?。！？][\"”’)]?\s*$")  # noqa: RUF001
NOTE = re.compile(r"[(（\[]([^()（）\[\]]{2,60})[)）\]][\s.]*$")  # noqa: RUF001

CLOSING = re.compile(
    r"(?:wrapping (?:it |things )?up|(?:that's a |a )?wrap[- ]?up|(?:in )?conclusions?"
    r"|(?:some )?(?:final|closing|parting|last) (?:thoughts?|words?|remarks?|notes?)|in closing"
    r"|to sum (?:it )?up|summing up|until next (?:time|week|month)|the bottom line|signing off"
    r"|before you go|afterword|outro)\s*[:：.!]?",  # noqa: RUF001
    _I,
)
FAREWELL = re.compile(
    r"(?:that['’]s (?:all|it|a wrap)\b|thank(?:s| you) for reading|see you (?:next|soon|again)"  # noqa: RUF001
    r"|until next (?:time|week|month)|have a (?:great|good|nice) (?:week|weekend|day))",
    _I,
)
POINTER = re.compile(
    r"(?:read|see|find out|learn|view|know) more|more|continue reading|keep reading|full story"
    r"|(?:original )?(?:sources?|links?|article|post)(?: link)?|source here|original|via|details"
    r"|read (?:the )?(?:full |original |whole )?(?:story|article|post|report|piece)"
    r"|(?:read|view) (?:original|source|article|here)",
    _I,
)
POINTER = re.compile(rf"(?:{POINTER.pattern})\s*(?:\(in [\w ]{{2,20}}\))?[\s:：.…→»>]*", _I)  # noqa: RUF001
CALL = re.compile(
    r"\b(?:click|tap|press|subscribe|sign up|register|download|apply|enrol|join us|book) here\b"
    r"|\b(?:click|tap) (?:on )?(?:the|this) (?:link|button)\b",
    _I,
)
CAPTION = re.compile(
    r"[(\[]?(?:(?:image|photo|picture|cover|video|screenshot|graphic|illustration)s?"
    r"(?: (?:credits?|source|courtesy))?(?::|：| (?:by|via|courtesy of|from):?) ?"  # noqa: RUF001
    r"|credits?: |caption: )\S",
    _I,
)
FILE_NAME = re.compile(r"[\w-]{1,80}\.(?:jpe?g|png|gif|webp|svg)", _I)
RATING = re.compile(
    r"\baverage rating\b|\bvote count\b|^no votes\b|\b(?:click|tap) (?:on )?an? star\b"
    r"|\bfirst to rate\b|^rate this (?:post|article|issue|newsletter|story)\b",
    _I,
)
SCALE = re.compile(r"\d(?:[.,]\d+)?\s*(?:/|out of)\s*(\d{1,2})\b")
NO_VOTES = re.compile(r"^(?:no|0) (?:votes|ratings)\b|\bfirst to rate\b", _I)
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]{0,6}"
DATE = re.compile(
    rf"(?:{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}\.?,? \d{{4}}"
    r"|\d{4}-\d{2}-\d{2})(?:\s*[·•|,-]\s*\d+ min(?:ute)?s? read)?"
)
DATED = re.compile(  # "Ada Example@ada / 6:00 PM GMT+2 • May 12, 2023"
    rf"([A-Z][^/•|·@\d]{{1,48}}?)\s*(?:@\w+)?\s*[/•|·].{{0,30}}?({_MONTH}\.? \d{{1,2}},? \d{{4}})"
)
DIGEST = re.compile(
    r"\b(?:digest|round-?up|newsletter|weekly|monthly|daily|bulletin|briefing|brief|edition|recap"
    r"|issue|dispatch|gazette|latest|this week|updates?|highlights)\b|#\d",
    _I,
)
GREETING = re.compile(
    r"(?:hi|hey|hello|hiya|dear|welcome|greetings|good (?:day|morning|afternoon|evening))\b"
    r"|.{0,80}\b(?:this (?:week|month|issue|edition)['’]?s?|in this (?:issue|edition)"  # noqa: RUF001
    r"|welcome (?:back|again|to)|here (?:is|are) (?:the|our|your|what))\b",
    _I,
)
NAMED = re.compile(
    r"\b(?i:edition|issue|instal?lment|welcome(?: back)?(?: again)?) (?:of|to) "
    r"(?:our |the |another )?((?:[A-Z][\w’'-]*|&)(?: (?:[A-Z][\w’'-]*|&|of|the|and|in)){0,6})"  # noqa: RUF001
)
NUMBER = re.compile(r"(?:#|\b(?:issue|edition|vol\.?|no\.?) ?#?)(\d{1,5})\b", _I)
ISSUE_NUMBER = re.compile(r"(?:issue|edition|volume|vol\.?|no\.?)? ?(?:#|no\.? )?(\d{1,5})", _I)
MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
CONTACT = re.compile(r"\b(?:contact|e-?mail|write|reach|reply|get in touch|questions)\b", _I)
CREDITED = re.compile(  # "Source: The Journal (https://journal.example/story)"
    r"(?:sources?|via|from|links?|read)\s*[:：]\s*([^:：()<>]{2,60}?)[\s,–—-]*[(<\[]?"  # noqa: RUF001
    r"(https?://[^\s()<>\[\]]+)[)>\]]?[\s.]*$",
    _I,
)
BOLD = re.compile(r"(\*\*|__)([^*_].{0,140}[^*_])\1$")
QUOTATION = re.compile(r"[“\"「](?:[^”\"」\s]+\s+){4}")
