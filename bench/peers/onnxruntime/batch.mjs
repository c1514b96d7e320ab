// Runs many ONNX models once each in ONNX Runtime, in one process: do exported files load, and what do they give?
//
//   node batch.mjs CASES.json
//
// CASES.json: [{"model": "a.onnx", "inputs": [{"name": "x", "type": "float32", "shape": [2], "file": "x.bin"}], "out": "prefix"}]
// Paths are relative to CASES.json. Prints one line of JSON per case: {"outputs": [{name, type, shape, file}]} or {"error": text}.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import ort from 'onnxruntime-node';

const arrays = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, int64: BigInt64Array, uint64: BigUint64Array, int32: Int32Array,
  uint32: Uint32Array, int16: Int16Array, uint16: Uint16Array, int8: Int8Array, uint8: Uint8Array, bool: Uint8Array,
};
const folder = dirname(resolve(process.argv[2]));

async function run({ model, inputs, out }) {
  const session = await ort.InferenceSession.create(resolve(folder, model), {
    executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4,
  });
  const feeds = {};
  for (const { name, type, shape, file } of inputs) {
    const bytes = readFileSync(resolve(folder, file));
    feeds[name] = new ort.Tensor(type, new arrays[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)), shape);
  }
  const results = await session.run(feeds);
  const outputs = session.outputNames.map((name, i) => {
    const tensor = results[name], file = `${out}_${i}.bin`;
    if (!arrays[tensor.type]) throw new Error(`output of type ${tensor.type}`);
    const { buffer, byteOffset, byteLength } = tensor.data;
    writeFileSync(resolve(folder, file), Buffer.from(buffer, byteOffset, byteLength));
    return { name, type: tensor.type, shape: tensor.dims, file };
  });
  await session.release();
  return { outputs };
}

for (const one of JSON.parse(readFileSync(process.argv[2], 'utf8'))) {
  let result;
  try {
    result = await run(one);
  } catch (e) {
    result = { error: String(e.message ?? e).split('\n')[0] };
  }
  console.log(JSON.stringify(result));
}
process.exit(0);
