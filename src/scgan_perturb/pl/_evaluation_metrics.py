"""The metrics of an evaluation that can be drawn."""

from __future__ import annotations

# Metrics, their axis labels, and whether the smallest value is on top.
LABELS = {
    "auc_random_forest": ("AUC of a random forest\nagainst real samples (0.5 is best)", True),
    "auc_logistic_regression": (
        "AUC of a logistic regression\nagainst real samples (0.5 is best)",
        True,
    ),
    "zeros": ("share of zeros, less that of real samples\n(0 is best)", True),
    "detected_genes": (
        "AUC of the number of detected genes\nagainst real samples (0.5 is best)",
        True,
    ),
    "distinct_values": (
        "AUC of the share of distinct values\nagainst real samples (0.5 is best)",
        True,
    ),
    "marginals": (
        "Wasserstein distance of a gene, in\nunits of its spread (lower is better)",
        True,
    ),
    "correlations": ("agreement of gene-gene correlations\n(higher is better)", False),
    "e_distance": ("E-distance to real target samples\n(lower is better)", True),
    "e_distance_pca": ("E-distance in 50 principal components\n(lower is better)", True),
    "sinkhorn_w2": ("Sinkhorn-W2 in 50 principal components\n(lower is better)", True),
    "mmd": ("MMD² to real target samples\n(lower is better)", True),
    "mean_r2": ("R² of gene means with real samples\n(higher is better)", False),
    "variance_r2": ("R² of gene variances with real samples\n(higher is better)", False),
    "pearson_delta": ("correlation of gene changes\n(higher is better)", False),
    "pearson_delta_top50": ("correlation of the 50 largest changes\n(higher is better)", False),
    "direction": ("share of genes that move the right way\n(higher is better)", False),
    "overlap": ("overlap of the genes that change most\n(higher is better)", False),
    "log_fold_change_error": ("relative error of log fold changes\n(lower is better)", True),
    "individuality": ("individuality\n(0: nothing of the sample is left)", False),
    "success": ("share called the target\nby the classifier of the fit", False),
    "success_logistic_regression": ("share called the target\nby a logistic regression", False),
    "success_random_forest": ("share called the target\nby a random forest", False),
    "perturbation": ("mean absolute change of a gene,\nas a share of its range", True),
}
