"""The words of the generated shop: families of products, their facets and options, brands, prose.

A family is a kind of thing. Its facets are properties of which a product has exactly one value:
two that titles show (`front`) and one that mostly only the pages of the item tell (`deep`). Values
of one family never count as the same phrase by the rule of `matching`, and no other text of the
shop contains a value by accident.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

Form = Literal["adjective", "for", "with"]
_FORMS: dict[str, Form] = {"adjective": "adjective", "for": "for", "with": "with"}


@dataclass(frozen=True)
class Facet:
    """A property with three values that exclude each other."""

    form: Form
    """Where a value stands in a sentence: before the noun, or after `for` or `with`."""
    values: tuple[str, str, str]


@dataclass(frozen=True)
class Family:
    """A kind of thing that the shop sells."""

    category: str
    name: str
    path: str
    """Levels in the shop's tree below the category's."""
    front: tuple[Facet, Facet]
    deep: Facet
    options: tuple[str, ...]
    """Names of its options, keys of `OPTIONS`."""
    prices: tuple[int, int]
    """Usual prices in dollars, lowest and highest."""
    is_unseen: bool
    """Whether its products are goals of the split `unseen` only."""


_FACETS = """
skin | for | dry skin, oily skin, sensitive skin
hair | for | curly hair, fine hair, damaged hair
scent | adjective | fragrance free, lavender scented, citrus scented
formula | adjective | paraben free, plant based, hypoallergenic
finish | with | matte finish, glossy finish, satin finish
hold | with | strong hold, flexible hold, feather hold
coverage | with | full coverage, sheer coverage, medium coverage
wear | adjective | waterproof, long lasting, quick drying
bristle | with | boar bristles, nylon bristles, silicone bristles
grip | with | bamboo handle, steel handle, rubber handle
sleeve | with | long sleeves, short sleeves, cap sleeves
fabric | adjective | organic cotton, merino wool, washed linen
fit | adjective | slim fit, loose fit, regular fit
closure | with | zipper closure, button closure, drawstring closure
washing | adjective | machine washable, hand wash only, dry clean only
sole | with | rubber sole, leather sole, memory foam sole
heel | with | low heel, block heel, wedge heel
lining | with | fleece lining, satin lining, mesh lining
pattern | adjective | striped, floral print, plaid
weather | for | freezing weather, rainy days, hot summers
strap | with | adjustable strap, chain strap, braided strap
frame | adjective | solid oak, powder coated steel, woven rattan
assembly | adjective | easy to assemble, ready assembled, space saving
room | for | home office, dining room, kids bedroom
outdoor | adjective | rust resistant, fade resistant, frost proof
light | with | warm white light, daylight glow, color changing light
power | adjective | solar powered, battery operated, mains powered
drain | with | drainage holes, self watering insert, hanging hooks
cover | adjective | velvet upholstered, faux leather, linen blend
stain | adjective | stain resistant, odor resistant, pet friendly
season | for | spring planting, autumn planting, indoor growing
diet | adjective | gluten free, dairy free, nut free
sweet | adjective | sugar free, honey sweetened, maple glazed
origin | adjective | certified organic, non gmo, fair trade
pack | with | resealable bag, recyclable tin, single serve packets
roast | adjective | dark roast, light roast, medium roast
caffeine | adjective | decaffeinated, high caffeine, half caff
extra | with | added protein, whole grains, extra fiber
spice | adjective | mildly spiced, extra hot, wood smoked
making | adjective | freeze dried, oven baked, kettle cooked
link | adjective | bluetooth enabled, usb c wired, wifi enabled
charge | adjective | fast charging, solar charging, wireless charging
tough | adjective | water resistant, shock resistant, scratch resistant
sound | with | noise cancelling, deep bass, surround sound
cell | with | replaceable battery, built in battery, dual battery pack
screen | with | touch screen, curved screen, anti glare screen
mount | with | wall mount, clip mount, magnetic mount
device | for | android phones, apple tablets, gaming consoles
cable | with | braided cable, coiled cable, ribbon cable
"""

_FAMILIES = """
beauty | face moisturizer | Skin Care, Face | skin scent formula | size | 14 40
beauty | body lotion | Skin Care, Body | skin scent formula | size pack | 9 30
beauty | cleansing foam | Skin Care, Face | skin formula scent | size | 8 28
beauty | clay mask | Skin Care, Face | skin scent formula | pack | 10 36
beauty | shampoo | Hair Care, Washing | hair scent formula | size | 8 32
beauty | hair conditioner | Hair Care, Washing | hair scent formula | size pack | 8 32
beauty | hair oil | Hair Care, Styling | hair formula scent | size | 11 38
beauty | styling gel | Hair Care, Styling | hold hair scent | size | 7 24
beauty | hair spray | Hair Care, Styling | hold scent formula | size pack | 9 27
beauty | liquid foundation | Makeup, Face | coverage finish wear | shade | 12 44
beauty | lip gloss | Makeup, Lips | finish scent wear | shade | 6 22
beauty | nail polish | Makeup, Nails | finish wear formula | shade pack | 5 20
beauty | eyeliner pencil | Makeup, Eyes | wear finish formula | shade | 6 24
beauty | makeup brush set | Tools, Brushes | bristle grip formula | color pieces | 12 48
! beauty | beard balm | Shaving, Beards | hold scent formula | size | 10 30
! beauty | hair brush | Tools, Brushes | bristle grip hair | color | 8 34
! beauty | sunscreen stick | Skin Care, Sun | skin wear scent | size pack | 9 26
fashion | henley shirt | Men, Shirts | sleeve fabric fit | color clothing | 18 52
fashion | wrap dress | Women, Dresses | sleeve pattern washing | color clothing | 24 78
fashion | button blouse | Women, Tops | sleeve fabric washing | color clothing | 19 58
fashion | hooded jacket | Men, Coats | closure lining weather | color clothing | 34 110
fashion | rain coat | Women, Coats | closure pattern lining | color clothing | 30 96
fashion | chino pants | Men, Trousers | fit fabric washing | color clothing | 22 66
fashion | jogger pants | Women, Trousers | fit closure fabric | color clothing | 18 54
fashion | pajama set | Women, Nightwear | pattern fabric sleeve | color clothing | 20 62
fashion | ankle boots | Women, Shoes | heel lining sole | color shoes | 38 120
fashion | walking shoes | Men, Shoes | sole closure lining | color shoes | 32 98
fashion | house slippers | Men, Shoes | sole lining pattern | color shoes | 14 42
fashion | crossbody bag | Women, Bags | strap closure lining | color | 22 84
fashion | winter gloves | Men, Gloves | lining fabric washing | color clothing | 12 44
fashion | swim trunks | Men, Beachwear | pattern lining fit | color clothing | 16 48
! fashion | court pumps | Women, Shoes | heel sole strap | color shoes | 34 104
! fashion | knit cardigan | Women, Knitwear | closure fabric sleeve | color clothing | 26 82
! fashion | canvas backpack | Women, Bags | closure strap lining | color | 24 76
garden | bookcase | Furniture, Storage | frame room assembly | color shelves | 48 180
garden | nightstand | Furniture, Bedroom | frame assembly room | color | 40 140
garden | bar stool | Furniture, Seating | cover frame assembly | color pieces | 44 160
garden | accent chair | Furniture, Seating | cover room stain | color | 80 240
garden | storage ottoman | Furniture, Seating | cover assembly stain | color | 36 120
garden | throw pillow | Textiles, Cushions | pattern room stain | color pieces | 10 38
garden | area rug | Textiles, Rugs | pattern room stain | color rug | 28 150
garden | string lights | Lighting, Outdoor | light power outdoor | length | 12 46
garden | path lantern | Lighting, Outdoor | power light outdoor | color pieces | 16 64
garden | desk lamp | Lighting, Indoor | light power room | color | 18 72
garden | flower pot | Garden, Planters | drain outdoor frame | color diameter | 9 40
garden | raised bed | Garden, Planters | frame outdoor assembly | rug | 46 170
garden | bird feeder | Garden, Wildlife | frame outdoor drain | color | 14 52
garden | patio bench | Furniture, Patio | frame outdoor assembly | color | 70 220
! garden | coat rack | Furniture, Hallway | frame assembly room | color | 28 90
! garden | wall sconce | Lighting, Indoor | light power frame | color pieces | 22 88
! garden | seed starter kit | Garden, Seeds | season drain outdoor | pieces | 10 36
grocery | granola | Breakfast, Cereal | diet sweet extra | flavor pack | 6 24
grocery | oatmeal cups | Breakfast, Cereal | sweet diet extra | flavor pack | 7 26
grocery | ground coffee | Drinks, Coffee | roast caffeine origin | weight | 9 38
grocery | coffee pods | Drinks, Coffee | roast caffeine origin | flavor pack | 11 42
grocery | black tea | Drinks, Tea | caffeine origin pack | flavor weight | 6 28
grocery | hot cocoa mix | Drinks, Cocoa | sweet diet pack | flavor weight | 7 25
grocery | trail mix | Snacks, Nuts | origin sweet pack | weight | 8 30
grocery | potato chips | Snacks, Crisps | spice making origin | flavor pack | 5 22
grocery | beef jerky | Snacks, Meat | spice diet pack | flavor weight | 8 32
grocery | fruit crisps | Snacks, Fruit | making sweet origin | flavor pack | 7 24
grocery | rice crackers | Snacks, Crackers | spice diet making | flavor pack | 5 20
grocery | pasta sauce | Cooking, Sauces | spice diet origin | flavor pack | 6 26
grocery | instant ramen | Cooking, Noodles | spice making diet | flavor pack | 7 28
grocery | protein bars | Snacks, Bars | diet sweet extra | flavor pack | 10 36
! grocery | herbal infusion | Drinks, Tea | origin sweet pack | flavor weight | 6 24
! grocery | barbecue rub | Cooking, Seasoning | spice diet origin | weight pack | 6 22
! grocery | pancake mix | Breakfast, Baking | diet extra origin | flavor weight | 6 24
electronics | over ear headphones | Audio, Headphones | link sound cell | color | 30 160
electronics | sport earbuds | Audio, Headphones | sound tough charge | color | 20 110
electronics | portable speaker | Audio, Speakers | tough sound charge | color | 24 130
electronics | sound bar | Audio, Speakers | sound link mount | color | 60 220
electronics | smart watch | Wearables, Watches | tough screen charge | color band | 48 200
electronics | fitness tracker | Wearables, Bands | screen tough cell | color band | 22 90
electronics | power bank | Phones, Chargers | charge tough cell | color capacity | 14 62
electronics | charging stand | Phones, Chargers | device charge cable | color | 12 54
electronics | phone case | Phones, Cases | tough mount pattern | color model | 8 36
electronics | tablet sleeve | Computers, Cases | tough closure pattern | color model | 11 44
electronics | computer monitor | Computers, Screens | screen link mount | inches | 90 320
electronics | wireless keyboard | Computers, Input | link device cell | color layout | 18 96
electronics | dash camera | Cameras, Car | mount screen link | storage | 36 150
electronics | security camera | Cameras, Home | power mount link | color storage | 26 140
! electronics | game controller | Gaming, Input | device link cell | color | 22 84
! electronics | studio microphone | Audio, Recording | link mount cable | color | 28 140
! electronics | travel projector | Video, Projectors | sound link power | color inches | 70 260
"""

OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "size": ("size", ("30 ml", "50 ml", "75 ml", "120 ml", "200 ml", "400 ml")),
    "pack": ("count", ("single", "pair", "trio", "six units", "twelve units")),
    "shade": ("shade", ("cocoa", "fig", "paprika", "nougat", "cranberry", "almond", "cassis")),
    "color": (
        "color",
        ("black", "white", "teal", "burgundy", "mustard", "navy", "olive", "coral", "charcoal"),
    ),
    "clothing": ("size", ("xs", "s", "m", "l", "xl", "xxl")),
    "shoes": ("size", ("5", "6", "7", "8", "9", "10", "11")),
    "pieces": ("set", ("one", "two", "four", "six", "ten")),
    "shelves": ("shelves", ("three tiers", "four tiers", "five tiers", "six tiers")),
    "rug": ("size", ("2 x 3 ft", "4 x 6 ft", "5 x 7 ft", "8 x 10 ft", "9 x 12 ft")),
    "length": ("length", ("3 m", "5 m", "10 m", "15 m", "20 m")),
    "diameter": ("diameter", ("12 cm", "16 cm", "20 cm", "24 cm", "30 cm")),
    "flavor": (
        "flavor",
        ("apple", "banana", "ginger", "hazelnut", "pecan", "raspberry", "sesame", "vanilla"),
    ),
    "weight": ("weight", ("150 g", "250 g", "400 g", "750 g", "1000 g")),
    "band": ("band", ("small", "medium", "large", "wide")),
    "capacity": ("capacity", ("5 ah", "10 ah", "15 ah", "20 ah", "30 ah")),
    "model": ("fits", ("mini", "midi", "maxi", "plus", "ultra")),
    "inches": ("screen", ("22 inch", "24 inch", "27 inch", "32 inch", "34 inch")),
    "layout": ("layout", ("english", "german", "french", "nordic", "spanish")),
    "storage": ("storage", ("16 gb", "32 gb", "64 gb", "128 gb", "256 gb")),
}
"""Kind of option to the name on the page and all values."""

TREE = {
    "beauty": "Beauty & Personal Care",
    "fashion": "Clothing, Shoes & Jewelry",
    "garden": "Home & Garden",
    "grocery": "Grocery & Gourmet Food",
    "electronics": "Electronics",
}
"""Category to the first level of its paths."""

_BRAND_WORDS = """
Aldermoor Birchley Calvane Dovetree Elmsworth Fernhall Galloway Hartwin Ivoryne Jorvik Kestrin
Lindqvist Marlowe Nordvale Oakhurst Pemberly Quillon Ravenna Selwyn Tamsin Umbria Velmont
Westbrook Xanthe Yarrow Zephra Ashcombe Brightwell Corvane Drumlin Eastmere Foxglen
"""
BRANDS = tuple(_BRAND_WORDS.split())

_LINE_WORDS = """
Harbor Meadow Summit Ember Willow Cascade Orchard Lumen Prairie Canyon Juniper Solstice Cedar
Atlas Marina Aurora
"""
LINES = tuple(_LINE_WORDS.split())
"""Names of product lines in titles."""

OCCASIONS = (
    ("my sister has a birthday next week", "A lovely birthday surprise for a sister or a friend."),
    ("we are moving to a new apartment", "A favorite of people moving to a new apartment."),
    ("i am packing for a camping weekend", "Goes along on every camping weekend."),
    (
        "my office colleagues told me about this",
        "Often seen in an office, to the joy of colleagues.",
    ),
    ("it is a gift for my grandfather", "Grandfather will be glad of this gift."),
    ("i start university in september", "Made for university, ready for september."),
    ("our wedding anniversary is coming up", "Remembered long after the wedding anniversary."),
    ("i lost my old one on a train", "Fits in a bag on the train when the old one is lost."),
    ("my neighbor lent me hers and i liked it", "Neighbor after neighbor liked it and came back."),
    ("i am tired of cheap ones that break", "Others are cheap and break; nobody is tired of ours."),
)
"""What customers tell in passing, and what descriptions say in the same words."""

PROMISES = (
    "Thought through down to the last detail.",
    "Checked twice before it leaves our workshop.",
    "The new edition of a well loved classic.",
    "Good value without compromise.",
    "Sent in plain cardboard within two days.",
    "Money back within thirty days.",
    "Designed by a family business in its third generation.",
    "Our customers order it again and again.",
)
"""Lines that say nothing, for descriptions and features."""


@cache
def facets() -> dict[str, Facet]:
    """Return all facets by name."""
    table = {}
    for line in _FACETS.strip().splitlines():
        name, form, values = line.split(" | ")
        first, second, third = values.split(", ")
        table[name] = Facet(_FORMS[form], (first, second, third))
    return table


@cache
def families() -> tuple[Family, ...]:
    """Return all families, those of a category together."""
    table = []
    for line in _FAMILIES.strip().splitlines():
        category, name, path, names, options, prices = line.removeprefix("! ").split(" | ")
        first, second, deep = (facets()[facet] for facet in names.split())
        low, high = prices.split()
        table.append(
            Family(
                category=category,
                name=name,
                path=" \u203a ".join([TREE[category], *path.split(", "), name.title()]),
                front=(first, second),
                deep=deep,
                options=tuple(options.split()),
                prices=(int(low), int(high)),
                is_unseen=line.startswith("! "),
            )
        )
    return tuple(table)
