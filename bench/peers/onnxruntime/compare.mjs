// Times two ONNX files in ONNX Runtime, alternating, on the same random input: node compare.mjs A.onnx B.onnx [batch] [repetitions] [threads]
// Prints JSON: median milliseconds of both and the median of the pairwise ratios A / B with a 95 % interval.
import ort from 'onnxruntime-node';
import os from 'node:os';

const [fileA, fileB, batchText = '1', repetitionsText = '200', threadsText = String(os.cpus().length)] = process.argv.slice(2);
const batch = Number(batchText), repetitions = Number(repetitionsText);
const options = { intraOpNumThreads: Number(threadsText), interOpNumThreads: 1, graphOptimizationLevel: 'all', executionMode: 'sequential' };
const sessions = [];
for (const file of [fileA, fileB]) sessions.push(await ort.InferenceSession.create(file, options));

const shape = sessions[0].inputMetadata[0].shape.map(d => (typeof d === 'number' ? d : batch));
let state = 1;
const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 4294967296) * 2 - 1;
const data = Float32Array.from({ length: shape.reduce((p, d) => p * d, 1) }, random);
const feeds = sessions.map(s => ({ [s.inputNames[0]]: new ort.Tensor('float32', data, shape) }));
const times = [[], []];
for (let i = -10; i < repetitions; i++) {
  for (const k of i % 2 ? [0, 1] : [1, 0]) {
    const start = process.hrtime.bigint();
    await sessions[k].run(feeds[k]);
    if (i >= 0) times[k].push(Number(process.hrtime.bigint() - start) / 1e6);
  }
}
const sorted = values => [...values].sort((x, y) => x - y);
const quantile = (values, q) => sorted(values)[Math.min(values.length - 1, Math.floor(q * values.length))];
const ratios = times[0].map((t, i) => t / times[1][i]);
// Order statistics around the median: a distribution-free 95 % interval.
const half = 0.98 / Math.sqrt(repetitions);
console.log(JSON.stringify({
  shape, repetitions, threads: Number(threadsText),
  medianMs: times.map(t => quantile(t, 0.5)),
  speedUp: quantile(ratios, 0.5), speedUpLow: quantile(ratios, 0.5 - half), speedUpHigh: quantile(ratios, 0.5 + half),
}));
