/**
 * The shapes of what the server answers. Nothing here runs.
 *
 * @typedef {{id: string, name: string, model: string, data: string, status: string,
 *   test_accuracy: number | null, created: string}} RunEntry
 *
 * @typedef {{name: string, kind: string, title: string, shape: number[], input_shape: number[],
 *   parameters: number, multiply_adds: number | null,
 *   receptive: {size: number | number[], jump: number | number[], start: number | number[]} | null,
 *   formula: string, spec: Record<string, unknown> | null, about: string, source: string}} Layer
 *
 * @typedef {{id: string, name: string, epoch: number | null, epochs: number[],
 *   model: {name: string, arguments: Record<string, unknown>}, classes: string[],
 *   input: {channels: number, height: number, width: number}, layers: Layer[],
 *   preprocessing: {mean: number[], std: number[]},
 *   metrics: Record<string, number | string | null>[],
 *   results: Record<string, unknown> | null, recipe: Record<string, unknown>,
 *   has_data: boolean, replaceable: string[]}} RunInfo
 *
 * @typedef {{name: string, shape: number[], offset: number, min: number, max: number,
 *   maps?: number[]}} Activation
 *
 * @typedef {{image: string, input: {shape: number[], offset: number}, layers: Activation[],
 *   scores: number[], probabilities: number[],
 *   top: {class: string, index: number, probability: number}[],
 *   truth: string | null, truth_index: number | null, milliseconds: number}} ForwardHeader
 *
 * @typedef {{header: ForwardHeader, values: Float32Array}} Forward
 *
 * @typedef {{top: number, left: number, height: number, width: number}} Field
 *
 * @typedef {{map: number, inputs: (number | null)[][], padded: boolean[][],
 *   weights: (number | null)[][] | null, products: (number | null)[][], sum: number | null,
 *   indices?: number[], shown?: number, of?: number}} MapTerms
 *
 * @typedef {{layer: string, kind: string, unit: number[], value: number | null, formula: string,
 *   field: Field | null,
 *   window: {top: number, left: number, rows: number, columns: number,
 *     dilation?: [number, number]} | null,
 *   maps: MapTerms[], bias: number | null, sum: number | null, winner: [number, number] | null,
 *   terms: {name: string, value: number | null}[]}} Provenance
 *
 * @typedef {{output: number[][], winners: ([number, number] | null)[][] | null, formula: string,
 *   discarded: {rows: number, columns: number}, gradient: number[][] | null, code: string,
 *   padded: (number | null)[][] | null}} Pooled
 *
 * @typedef {{padded: number[][], is_border: boolean[][], output: number[][], formula: string,
 *   discarded: {rows: number, columns: number}, code: string}} PaddedResult
 *
 * @typedef {{classes: string[], matrix: number[][],
 *   calibration: {confidence: number, accuracy: number, count: number}[], n: number,
 *   accuracy: number}} Mistakes
 *
 * @typedef {{split: string, index: number, class: string, class_index: number}} Sample
 *
 * @typedef {{split: string, index: number, truth: string, truth_index: number,
 *   predicted: string, predicted_index: number, probability: number, loss: number}} Judged
 *
 * @typedef {{split: string, index: number, class: string, class_index: number, distance: number}} Neighbour
 *
 * @typedef {{scores: number[] | null, probabilities: number[] | null,
 *   top: {class: string, index: number, probability: number}[] | null,
 *   before: {probabilities: number[] | null} | null,
 *   accuracy: {before: number, after: number, n: number} | null}} WhatIf
 */

export {};
