//! The raw material: words that fit together. A crate of random words would
//! price a toaster by the metre and sell socks by the litre; here every kind of
//! product knows its category, unit, price range and what its variants vary in.

use std::ops::Range;

use shared::document::{Category, UnitType};

pub struct Kind {
    pub category: Category,
    pub noun: &'static str,
    pub unit: UnitType,
    pub cents: Range<i64>,
    /// What the variants differ in, and its values; none for a product without variants.
    pub varies_in: Option<(&'static str, &'static [&'static str])>,
}

const fn kind(
    category: Category,
    noun: &'static str,
    unit: UnitType,
    cents: Range<i64>,
    varies_in: Option<(&'static str, &'static [&'static str])>,
) -> Kind {
    Kind {
        category,
        noun,
        unit,
        cents,
        varies_in,
    }
}

type Variation = Option<(&'static str, &'static [&'static str])>;

const COLOUR: Variation = Some(("Colour", &["Black", "Sand", "Forest Green", "Brick Red"]));
const CLOTHES: Variation = Some(("Size", &["S", "M", "L", "XL"]));
const SHOES: Variation = Some(("Size", &["38", "40", "42", "44"]));
const BEDDING: Variation = Some(("Size", &["135 × 200 cm", "155 × 220 cm", "200 × 200 cm"]));
const BOTTLE: Variation = Some(("Volume", &["100 ml", "250 ml", "500 ml"]));
const WEIGHT: Variation = Some(("Weight", &["250 g", "500 g", "1 kg"]));
const MEMORY: Variation = Some(("Memory", &["128 GB", "256 GB", "512 GB"]));
const BINDING: Variation = Some(("Binding", &["Paperback", "Hardcover"]));
const SCENT: Variation = Some(("Scent", &["Unscented", "Lavender", "Cedar"]));

pub static KINDS: &[Kind] = {
    use Category::*;
    use UnitType as U;
    &[
        kind(Electronics, "Wireless Headphones", U::Piece, 4_900..24_900, COLOUR),
        kind(Electronics, "Mechanical Keyboard", U::Piece, 6_900..17_900, COLOUR),
        kind(Electronics, "Tablet", U::Piece, 24_900..79_900, MEMORY),
        kind(Electronics, "USB-C Dock", U::Piece, 5_900..18_900, None),
        kind(Fashion, "Merino Sweater", U::Piece, 5_900..15_900, CLOTHES),
        kind(Fashion, "Linen Shirt", U::Piece, 3_900..8_900, CLOTHES),
        kind(Fashion, "Leather Boots", U::Pair, 9_900..24_900, SHOES),
        kind(Fashion, "Wool Socks", U::Pack, 1_200..2_900, CLOTHES),
        kind(Beauty, "Face Cream", U::Ml, 1_400..5_900, BOTTLE),
        kind(Beauty, "Hand Soap", U::Ml, 600..1_900, SCENT),
        kind(Beauty, "Shampoo Bar", U::Piece, 700..1_500, SCENT),
        kind(HomeGarden, "Cast Iron Pan", U::Piece, 3_900..12_900, None),
        kind(HomeGarden, "Duvet Cover", U::Set, 4_900..12_900, BEDDING),
        kind(HomeGarden, "Reading Lamp", U::Piece, 3_900..14_900, COLOUR),
        kind(HomeGarden, "Garden Shears", U::Piece, 1_900..5_900, None),
        kind(SportsOutdoors, "Trail Running Shoes", U::Pair, 8_900..17_900, SHOES),
        kind(SportsOutdoors, "Two-Person Tent", U::Piece, 14_900..49_900, COLOUR),
        kind(SportsOutdoors, "Sleeping Bag", U::Piece, 7_900..29_900, None),
        kind(SportsOutdoors, "Climbing Rope", U::Meter, 250..520, None),
        kind(FoodBeverage, "Single Origin Coffee", U::Gram, 890..3_900, WEIGHT),
        kind(FoodBeverage, "Olive Oil", U::Ml, 990..2_900, BOTTLE),
        kind(FoodBeverage, "Wildflower Honey", U::Gram, 650..1_900, WEIGHT),
        kind(FoodBeverage, "Oat Drink", U::Box, 199..1_190, None),
        kind(HealthWellness, "Yoga Mat", U::Piece, 2_900..9_900, COLOUR),
        kind(HealthWellness, "Massage Roller", U::Piece, 1_500..4_500, None),
        kind(HealthWellness, "Herbal Tea", U::Bundle, 790..2_490, WEIGHT),
        kind(ToysGames, "Wooden Train", U::Set, 2_900..8_900, None),
        kind(ToysGames, "Board Game", U::Box, 2_400..6_900, None),
        kind(ToysGames, "Building Blocks", U::Set, 1_900..9_900, COLOUR),
        kind(BooksMedia, "Field Guide to Birds", U::Piece, 1_490..3_490, BINDING),
        kind(BooksMedia, "Bread Cookbook", U::Piece, 1_990..3_990, BINDING),
        kind(BooksMedia, "Travel Journal", U::Piece, 1_290..2_990, BINDING),
        kind(Automotive, "Roof Box", U::Piece, 24_900..69_900, None),
        kind(Automotive, "Floor Mats", U::Set, 2_900..8_900, None),
        kind(Automotive, "Engine Oil", U::Liter, 690..2_490, None),
        kind(Other, "Gift Card Holder", U::Piece, 290..990, COLOUR),
        kind(Other, "Moving Box", U::Pack, 990..2_990, None),
    ]
};

pub static QUALITIES: &[&str] = &[
    "Classic", "Everyday", "Compact", "Heritage", "Light", "Studio", "Northern", "Original",
    "Alpine", "Essential", "Premium", "Organic", "Coastal", "Urban",
];

pub static PROMISES: &[&str] = &[
    "Made to be repaired, with spare parts for ten years.",
    "Tested by people who use it every day.",
    "Small batches, checked by hand before they leave the workshop.",
    "The one we kept for ourselves after trying all the others.",
    "Simple, sturdy and pleasant to hold.",
];

/// What a supplier writes about a product: a topic and its text.
pub static TOPICS: &[(&str, &str)] = &[
    ("Materials", "Chosen for long use first and for looks second; every source is on record."),
    ("Care", "Wipe with a damp cloth, dry at once, keep out of direct sunlight."),
    ("Shipping", "Leaves the warehouse within two working days, in a box that fits."),
    ("Warranty", "Two years on everything, five on what carries the weight."),
];

pub static MAKERS: &[&str] = &[
    "Nordvik", "Halden & Söhne", "Bellweather", "Casa Oliva", "Atelier Brun", "Kestrel", "Lumen",
    "Fjordlight", "Marlow & Finch", "Tannenhof", "Sakura Mono", "Terra Verde", "Blackthorn",
    "Aurora Works", "Petit Canal", "Høyer", "Ironwood", "Saltmarsh", "Vela", "Quercus",
    "Three Rivers", "Zephyr", "Copperfield", "Łąka", "Monte Rosa", "Oakridge", "Polder", "Rivière",
    "Stonebridge", "Windrose", "Yarrow", "Zimt & Zucker",
];

pub static FIRST_NAMES: &[&str] = &[
    "Anna", "Ben", "Chloé", "Daniel", "Elif", "Felix", "Grace", "Hugo", "Inès", "Jürgen", "Katarzyna",
    "Liam", "María", "Noah", "Olga", "Priya", "Quentin", "Rosa", "Søren", "Tomás", "Uma", "Viktor",
    "Wanda", "Ximena", "Yuki", "Zoë", "Amara", "Bruno", "Camila", "Dmitri", "Esther", "Farid",
];

pub static LAST_NAMES: &[&str] = &[
    "Andersson", "Bauer", "Chen", "Dubois", "Eriksen", "Fischer", "García", "Haddad", "Ivanova",
    "Jansen", "Kowalski", "Lopes", "Müller", "Nakamura", "O'Brien", "Peña", "Rossi", "Schmidt",
    "Tanaka", "Ueda", "Varga", "Weiß", "Yılmaz", "Zimmermann", "Okafor", "Patel", "Smith", "Martin",
];

pub struct Town {
    pub city: &'static str,
    pub state: &'static str,
    /// Leading digits of its postal codes; the rest is drawn.
    pub zip: &'static str,
    pub country: &'static str,
    pub dial: &'static str,
    pub timezone: &'static str,
    pub legal_form: &'static str,
}

const fn town(
    [city, state, zip, country]: [&'static str; 4],
    [dial, timezone, legal_form]: [&'static str; 3],
) -> Town {
    Town {
        city,
        state,
        zip,
        country,
        dial,
        timezone,
        legal_form,
    }
}

pub static TOWNS: &[Town] = &[
    town(["Berlin", "Berlin", "10", "DE"], ["+49", "Europe/Berlin", "GmbH"]),
    town(["München", "Bayern", "80", "DE"], ["+49", "Europe/Berlin", "GmbH & Co. KG"]),
    town(["Portland", "OR", "97", "US"], ["+1", "America/Los_Angeles", "LLC"]),
    town(["Austin", "TX", "78", "US"], ["+1", "America/Chicago", "Inc."]),
    town(["Lyon", "Auvergne-Rhône-Alpes", "69", "FR"], ["+33", "Europe/Paris", "SARL"]),
    town(["Göteborg", "Västra Götaland", "41", "SE"], ["+46", "Europe/Stockholm", "AB"]),
    town(["Bologna", "Emilia-Romagna", "40", "IT"], ["+39", "Europe/Rome", "S.r.l."]),
    town(["Kraków", "Małopolskie", "30", "PL"], ["+48", "Europe/Warsaw", "Sp. z o.o."]),
    town(["Porto", "Porto", "40", "PT"], ["+351", "Europe/Lisbon", "Lda."]),
    town(["Kyōto", "Kyoto", "60", "JP"], ["+81", "Asia/Tokyo", "K.K."]),
    town(["Bristol", "England", "20", "GB"], ["+44", "Europe/London", "Ltd"]),
];

pub static STREETS: &[&str] = &[
    "Harbour Street", "Lindenallee", "Rue des Tanneurs", "Mill Lane", "Via Nuova", "Storgatan",
    "Cedar Avenue", "Bahnhofstraße", "Station Road", "Rua das Flores", "Old Market",
];

pub static TITLES: &[&str] = &["Head of Sales", "Key Account Manager", "Founder", "Operations Lead"];

pub static BIOS: &[&str] = &[
    "Coffee first, then the rest.",
    "Weekend hiker, weekday spreadsheet person.",
    "Collects cookbooks, uses three of them. 🍞",
    "Two children, one dog, no spare time.",
    "Repairs old radios and talks about it.",
    "Runs slowly but far.",
];

pub static POST_TEXTS: &[&str] = &[
    "Three weeks with it now, and I would buy it again. Ask me anything.",
    "Does anybody know how this holds up in winter? Mine arrives on Friday.",
    "Small update on the kitchen project: the shelf is up, and it is even level. 🎉",
    "Unpopular opinion: the cheaper one is better. Photos below.",
    "We tried five of them side by side. Here is what we found, without sponsors.",
    "First market day of the season! Come early, the good bread is gone by ten.",
    "Für alle, die gefragt haben: ja, es passt in den Kofferraum.",
    "Bought second-hand, repaired in an evening, works like new. Guide in the comments.",
];

pub static CANCEL_REASONS: &[&str] = &[
    "Ordered the wrong size by mistake",
    "Found it in a shop around the corner",
    "Delivery would come too late for the birthday",
];
