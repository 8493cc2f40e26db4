"""What the paper says, and what is taken where its tissues are not at hand.

A tissue of the paper is a list of candidates, the paper's own (as GTEx v7 names it) first; each
other one with the reason why it stands in. The terms that are expected to be enriched come from
what the tissues are known to do, and were written down before any was tested.
"""

from __future__ import annotations

TABLE_1 = (
    # gene set, set in the Hallmark file (None for all), genes, target, success of f
    ("Hedgehog Signaling", "HALLMARK_HEDGEHOG_SIGNALING", 36, "Nerve - Tibial", "100 %"),
    ("Peroxisome", "HALLMARK_PEROXISOME", 107, "Brain - Spinal cord (cervical c-1)", "100 %"),
    ("Apoptosis", "HALLMARK_APOPTOSIS", 161, "Lung", "99.9 %"),
    ("E2F Targets", "HALLMARK_E2F_TARGETS", 200, "Artery - Coronary", "99.8 %"),
    ("All", None, 4386, "Thyroid", "100 %"),
    ("All", None, 4386, "Heart - Left Ventricle", "100 %"),
)
# Number of distinct genes among the 20 that move most in each of 53 transitions.
DISTINCT = {"target": "Heart - Left Ventricle", "transitions": 53, "up": 85, "down": 642}
TABLE_2 = (
    "The paper's Table 2 (Heart - Left Ventricle, all of 53 transitions together): 3,311 terms of "
    "GO: BP, first hit *striated muscle contraction* (q = 2.01e-15); 1,340 pathways, first hit "
    "*cardiac muscle contraction* (q = 4.01e-14)."
)
FIGURE_5 = (
    "The paper: genes that rise towards KICH are enriched for targets of the estrogen receptor, "
    "those that fall for genes of the healthy kidney."
)

NO_NERVES = "no nervous tissue at hand"
STAND_INS = {
    "Nerve - Tibial": {"Breast": "fat and connective tissue, as around a nerve"},
    "Brain - Spinal cord (cervical c-1)": {"Kidney": f"{NO_NERVES}; rich in peroxisomes"},
    "Artery - Coronary": {"Uterus": "smooth muscle"},
    "Heart - Left Ventricle": {"Head and neck": "striated muscle of the mouth and tongue"},
    "Muscle - Skeletal": {"Prostate": "muscle, mostly smooth"},
    "Lung": {},
    "Thyroid": {},
    "Liver": {},
    "Stomach": {},
    "Spleen": {"Lung": "rich in blood and immune cells"},
    "Pancreas": {"Stomach": "glands of the upper gut"},
    "Kidney - Cortex": {"Kidney": "the whole kidney"},
    "Esophagus - Mucosa": {"Esophagus": "the whole esophagus"},
    "Breast - Mammary Tissue": {"Breast": "the same tissue by another name"},
    "Brain - Hippocampus": {"Liver": NO_NERVES},
    "Brain - Amygdala": {"Kidney": NO_NERVES},
    "Brain - Cerebellum": {"Kidney": NO_NERVES},
}

# Sources of the heatmaps, by the paper's target.
FIGURES = {
    "Nerve - Tibial": ("figure2", ("Brain - Hippocampus",)),
    "Heart - Left Ventricle": (
        "figure3",
        ("Brain - Amygdala", "Esophagus - Mucosa", "Pancreas", "Thyroid"),
    ),
    "Muscle - Skeletal": (
        "figure4",
        ("Brain - Cerebellum", "Breast - Mammary Tissue", "Liver", "Spleen"),
    ),
}
# Fits with all Hallmark genes; enrichment is tested for those that have expected terms.
HALLMARK_TARGETS = ("Thyroid", "Heart - Left Ventricle", "Liver", "Muscle - Skeletal")
ENRICHED_TARGETS = ("Heart - Left Ventricle", "Thyroid", "Liver")
# Sources whose falling genes are looked at, on the way to the heart.
SOURCES = ("Liver", "Kidney - Cortex", "Thyroid", "Lung", "Stomach")

STRIATED = (
    (("cardiac muscle contraction",), "the paper's first pathway"),
    (("striated muscle contraction", "muscle contraction"), "the paper's first term of GO: BP"),
    (("sarcomere organization",), "the paper's first cellular component"),
    (("myogenesis",), "striated muscle"),
)
ENERGY = ("oxidative phosphorylation", "mitochondrial atp synthesis coupled electron transport")
FATTY = ("fatty acid metabolism", "fatty acid metabolic process")
XENOBIOTICS = (
    "xenobiotic metabolism",
    "metabolism of xenobiotics by cytochrome p450",
    "drug metabolism cytochrome p450",
    "drug metabolism - cytochrome p450",
)
# By target and direction: names of a term, as the collections have it, and why it is expected.
EXPECTED = {
    ("Liver", "up"): (
        (("bile acid metabolism", "bile acid metabolic process"), "the liver makes bile"),
        (("primary bile acid biosynthesis", "bile acid biosynthetic process"), "the same"),
        (("complement and coagulation cascades", "coagulation"), "it makes the plasma's factors"),
        (("acute-phase response",), "plasma proteins"),
        (XENOBIOTICS, "it breaks down drugs"),
        (FATTY, "its metabolism"),
        (("retinol metabolism", "retinol metabolic process"), "it stores retinol"),
        (("urea cycle",), "found in the liver alone"),
    ),
    ("Thyroid", "up"): (
        (("thyroid hormone synthesis", "thyroid hormone generation"), "what the thyroid is for"),
        (("autoimmune thyroid disease",), "its antigens TG, TPO and TSHR"),
        (("thyroid gland development",), "its transcription factors stay on"),
    ),
    ("Heart - Left Ventricle", "up"): (*STRIATED, (ENERGY, "the heart never rests")),
    ("Head and neck", "up"): (
        *STRIATED,
        (("epidermis development", "keratinocyte differentiation"), "squamous epithelium"),
    ),
    ("KICH", "up"): (
        (ENERGY, "KICH is crowded with mitochondria"),
        (("citrate cycle tca cycle", "citrate cycle (tca cycle)"), "the same"),
        (("estrogen response early", "estrogen response late"), "the paper"),
        (("estrogen signaling pathway", "response to estrogen"), "the paper"),
    ),
    ("KICH", "down"): (
        (("proximal tubule bicarbonate reclamation",), "KICH comes of the distal nephron"),
        (("organic anion transport",), "work of the proximal tubule"),
        (FATTY, "fuel of the proximal tubule"),
        (XENOBIOTICS, "work of the proximal tubule"),
        (("renal absorption", "kidney development", "renal system development"), "healthy kidney"),
    ),
    ("KIRC", "up"): ((("hypoxia",), "the paper; VHL is lost"),),
}


def nearest(name: str, available: list[str]) -> tuple[str, str]:
    """The tissue at hand that stands for one of the paper, and why; no reason for its own.

    Raises
    ------
    ValueError
        If neither it nor one that stands in is at hand.
    """
    for candidate, reason in {name: "", **STAND_INS[name]}.items():
        if candidate in available:
            return candidate, reason
    msg = (
        f"Neither {name!r} nor a tissue that stands in for it is at hand "
        f"({', '.join(available)}). Add one to STAND_INS in {__file__}."
    )
    raise ValueError(msg)


def named(name: str, available: list[str]) -> str:
    """The tissue at hand, with the reason where it is not the paper's."""
    tissue, reason = nearest(name, available)
    return f"{tissue} ({reason})" if reason else tissue
