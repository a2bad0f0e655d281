"""Words that speak for a segment, with how loudly they do.

3: the word names the subject itself. 2: it is hardly used about anything else. 1: a hint, that
counts only beside others. A word stands for its plural too; capitals count where it has any.
"""

ECOMMERCE = {
    3: """
        e-commerce; ecommerce; online shopping; online retail; online retailer; social commerce;
        live commerce; livestream shopping; live-stream shopping; livestream selling; group buying;
        group-buying; shopping festival; in-app shopping; in-stream shopping; omnichannel;
        omni-channel; direct-to-consumer; dropshipping; gross merchandise value; GMV; DTC; D2C;
        Singles' Day; Singles Day; Double 11; 11.11; Prime Day; Cyber Monday; quick commerce;
        Taobao; Tmall; JD.com; Pinduoduo; Temu; Shein; SHEIN; AliExpress; Shopify; eBay; Etsy;
        Lazada; Shopee; Zalando; Otto; TikTok Shop; Mercado Libre; Flipkart; Rakuten; Freshippo;
        电商; 跨境电商; 直播带货; 网购
    """,
    2: """
        marketplace; cross-border; online store; online sale; web shop; webshop; shopping link;
        shopping platform; shopping app; live-streaming; livestreaming; livestream; shopping cart;
        checkout; merchant; seller; retailer; retail; shopper; storefront; supermarket;
        hypermarket; fulfilment; fulfillment; last-mile; conversion rate; Black Friday; Amazon;
        Alibaba; JD; PDD; Meituan; Instacart; Ocado; online order; food delivery; buy online
    """,
    1: """
        discount; delivery; courier; logistics; warehouse; parcel; shipping; returns; customer;
        consumer goods; grocery; purchase; flagship store; mini-program; mini program; voucher;
        coupon; brand; Walmart; Carrefour; KOL; influencer; budget
    """,
}

AI = {
    3: """
        AI; A.I.; artificial intelligence; generative AI; machine learning; deep learning;
        neural network; language model; large language model; large model; foundation model; LLM;
        chatbot; text-to-image; text-to-video; computer vision; image recognition; ChatGPT; GPT;
        OpenAI; Anthropic; Claude; Gemini; DeepSeek; Copilot; Midjourney; Stable Diffusion;
        Hugging Face; Mistral; Llama; Qwen; Tongyi; Ernie Bot; Doubao; Kimi; Hunyuan; AGI;
        人工智能; 大模型; 生成式
    """,
    2: """
        multimodal; generative; GPU; AI chip; training data; fine-tuning; prompt engineering;
        humanoid; autonomous driving; self-driving; robotaxi; facial recognition; deepfake;
        voice assistant; speech recognition; recommendation engine; Nvidia; NVIDIA; iFlytek;
        SenseTime; digital human
    """,
    1: """
        algorithm; robot; robotics; automation; inference; virtual idol; virtual influencer;
        big data; prompt; semiconductor; data center; data centre; smart assistant; tokens
    """,
}

LUXURY = {
    3: """
        luxury; haute couture; couture; fashion house; leather goods; atelier; maison;
        high-net-worth; high jewellery; high jewelry; fine watch; LVMH; Kering; Richemont; Hermès;
        Hermes; Chanel; Gucci; Prada; Dior; Louis Vuitton; Burberry; Balenciaga; Cartier; Tiffany;
        Rolex; Moncler; Bulgari; Bvlgari; Versace; Armani; Valentino; Fendi; Loewe; Celine;
        Bottega Veneta; Saint Laurent; Ferragamo; Givenchy; Van Cleef; Patek Philippe; Omega;
        奢侈品; 奢侈
    """,
    2: """
        luxurious; high-end; upscale; prestige; designer brand; jewellery; jewelry; jeweller;
        jeweler; watchmaker; timepiece; handbag; catwalk; runway; fashion week; department store;
        duty-free; duty free; affluent; craftsmanship; perfume; perfumer; shopping tourism;
        Lancôme; Lancome; Estée Lauder; Estee Lauder; L'Oréal; Shiseido; La Mer; Swarovski;
        Galeries Lafayette; Harrods; couturier; tailor-made
    """,
    1: """
        designer; premium; exclusive; boutique; heritage; fragrance; cosmetics; beauty; skincare;
        makeup; fashion; flagship; wealthy; champagne; silk; cashmere; watch; gem; diamond
    """,
}

WORDS: dict[str, dict[int, str]] = {"e-commerce": ECOMMERCE, "ai": AI, "luxury": LUXURY}
"""Lists for the segments an installation starts with; others are never suggested."""
