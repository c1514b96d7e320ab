// Runs one ONNX model in ONNX Runtime, on request, so that a benchmark can interleave it with other engines.
//
//   node serve.mjs MODEL.onnx INPUTS.json THREADS
//
// INPUTS.json: [{"name": "x", "type": "float32", "shape": [1, 3, 32, 32], "file": "x.bin"}]; files are raw little-endian.
// Protocol, one line each way: "run" -> milliseconds; "outputs DIR" -> JSON of the outputs, written raw into DIR; "quit".
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { dirname, join, resolve } from 'node:path';
import ort from 'onnxruntime-node';

const [model, inputsFile, threads] = process.argv.slice(2);
const arrays = {
  float32: Float32Array, float64: Float64Array, int64: BigInt64Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array, bool: Uint8Array,
};

const session = await ort.InferenceSession.create(model, {
  executionProviders: ['cpu'],
  intraOpNumThreads: Number(threads),
  interOpNumThreads: 1,
  graphOptimizationLevel: 'all',
  logSeverityLevel: 3,
});

const feeds = {};
for (const input of JSON.parse(readFileSync(inputsFile, 'utf8'))) {
  const bytes = readFileSync(resolve(dirname(inputsFile), input.file));
  const data = new arrays[input.type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  feeds[input.name] = new ort.Tensor(input.type, data, input.shape);
}

console.log(JSON.stringify({ ready: true, version: ort.env?.versions?.node ?? '', inputs: session.inputNames, outputs: session.outputNames }));
let last = null;
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = line.split(' ');
  if (command === 'run') {
    const start = process.hrtime.bigint();
    last = await session.run(feeds);
    console.log((Number(process.hrtime.bigint() - start) / 1e6).toFixed(6));
  } else if (command === 'outputs') {
    last ??= await session.run(feeds);
    const list = Object.entries(last).map(([name, tensor], i) => {
      const file = `output_${i}.bin`;
      const { buffer, byteOffset, byteLength } = tensor.data;
      writeFileSync(join(argument, file), Buffer.from(buffer, byteOffset, byteLength));
      return { name, type: tensor.type, shape: tensor.dims, file };
    });
    console.log(JSON.stringify(list));
  } else {
    break;
  }
}
process.exit(0);
