using BenchmarkDotNet.Running;
using Sparseland.Microbench;

// Single kernels under BenchmarkDotNet: for work on a kernel (assembly, allocations, one number after another). Figures come from Sparseland.Bench, in turn with peers.
BenchmarkSwitcher.FromAssembly(typeof(ProductBenchmarks).Assembly).Run(args);
