#!/usr/bin/env nextflow
// Perturb samples towards each of several targets, and ask of each how real they are.


workflow {
    cells = params.cells ? channel.fromPath(params.cells, checkIfExists: true) : example_cells()
    labels = params.target_class.toString().tokenize(',').collect { label -> label.trim() }
    targets = channel.fromList(labels).map { label -> tuple(label, folder(label)) }
    fit(cells.combine(targets))
    describe(fit.out, file(params.gene_sets, checkIfExists: true))
}


// Text as one word of the shell.
def quoted(text) {
    return "'" + text.toString().replace("'", "'\\''") + "'"
}


// The name of a target's folder.
def folder(target) {
    return target.replaceAll('[^A-Za-z0-9.-]+', '_')
}


process example_cells {
    output:
    path 'cells.h5ad'

    script:
    """
    python -c 'import scgan_perturb as sp; sp.datasets.pbmc68k().write_h5ad("cells.h5ad")'
    """
}


process fit {
    tag "${target}"
    label 'gpu'
    publishDir path: { "${params.output_dir}/${name}" }, mode: 'copy'

    input:
    tuple path(cells), val(target), val(name)

    output:
    tuple val(target), val(name), path('fitted.h5ad')

    script:
    """
    scgan-perturb fit ${cells} fitted.h5ad --groupby ${quoted(params.groupby)} --target ${quoted(target)} ${params.fit_options}
    """
}


process describe {
    tag "${target}"
    publishDir path: { "${params.output_dir}/${name}" }, pattern: '*.{csv,png,html}', mode: 'copy'

    input:
    tuple val(target), val(name), path(fitted)
    path gene_sets

    output:
    tuple val(target), val(name), path('*.csv'), path('*.png'), path('report.html')

    script:
    """
    scgan-perturb evaluate ${fitted} evaluated.h5ad evaluation.csv evaluation.png
    scgan-perturb rank evaluated.h5ad ranked.h5ad genes.csv genes.png
    scgan-perturb enrich ranked.h5ad enriched.h5ad sets.csv sets.png --gene-sets ${gene_sets} ${params.enrich_options}
    scgan-perturb embed enriched.h5ad embedded.h5ad
    scgan-perturb report embedded.h5ad report.html
    """
}
