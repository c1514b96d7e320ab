using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Configs;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Threading;

namespace Sparseland.Microbench;

/// <summary>Attention of one sequence with 12 heads of 64, forward and backward: dense, three quarters of the blocks hidden, three quarters of the tokens dropped.</summary>
[MemoryDiagnoser]
[GroupBenchmarksBy(BenchmarkLogicalGroupRule.ByCategory)]
public class AttentionBenchmarks
{
    private const int Heads = 12, HeadSize = 64, Block = 64;
    private const double Hidden = 0.75;

    private float[] _q = [], _k = [], _v = [], _dy = [], _dq = [], _dk = [], _dv = [];
    private Form _dense = null!, _blocks = null!, _tokens = null!;

    /// <summary>Length of the sequence.</summary>
    [Params(256, 1024)]
    public int Tokens { get; set; }

    /// <summary>Threads that share the work.</summary>
    [Params(1, 2)]
    public int Threads { get; set; }

    /// <summary>Makes the operands, and what backward passes need of forward ones.</summary>
    [GlobalSetup]
    public void Setup()
    {
        WorkPool.Threads = Threads;
        var random = new Random(0);
        int length = Heads * Tokens * HeadSize, side = (Tokens + Block - 1) / Block;
        float[][] drawn = [.. Enumerable.Range(0, 4).Select(_ => Operands.Values(length, random))];
        (_q, _k, _v, _dy) = (drawn[0], drawn[1], drawn[2], drawn[3]);
        (_dq, _dk, _dv) = (new float[length], new float[length], new float[length]);
        var shape = new Attention(1, Heads, Heads, Tokens, Tokens, HeadSize);
        bool[] seen = new bool[Heads * side * side], kept = [.. Enumerable.Range(0, Tokens).Select(_ => random.NextDouble() >= Hidden)];
        for (int h = 0; h < Heads; h++)
        {
            Span<bool> head = seen.AsSpan(h * side * side, side * side);
            head[(int)(Hidden * head.Length)..].Fill(true);
            random.Shuffle(head);
        }
        var bias = new float[Tokens * Tokens];
        for (int i = 0; i < bias.Length; i++) bias[i] = kept[i / Tokens] && kept[i % Tokens] ? 0 : float.NegativeInfinity;
        Attention biased = shape with { BiasQueryStride = Tokens };
        _dense = Make(shape, [], null);
        _blocks = Make(shape, [], AttentionPattern.FromBlocks(shape, Block, Heads, seen));
        _tokens = Make(biased, bias, AttentionPattern.FromBias(biased, bias));
    }

    /// <summary>The dense twin.</summary>
    [Benchmark(Baseline = true), BenchmarkCategory("forward")]
    public void Dense() => Forward(_dense);

    /// <summary>Other blocks for each head.</summary>
    [Benchmark, BenchmarkCategory("forward")]
    public void Blocks() => Forward(_blocks);

    /// <summary>A bias that hides whole tokens, read beforehand.</summary>
    [Benchmark, BenchmarkCategory("forward")]
    public void Subset() => Forward(_tokens);

    /// <summary>The dense twin.</summary>
    [Benchmark(Baseline = true), BenchmarkCategory("backward")]
    public void DenseBackward() => Backward(_dense);

    /// <summary>Other blocks for each head.</summary>
    [Benchmark, BenchmarkCategory("backward")]
    public void BlocksBackward() => Backward(_blocks);

    /// <summary>A bias that hides whole tokens, read beforehand.</summary>
    [Benchmark, BenchmarkCategory("backward")]
    public void SubsetBackward() => Backward(_tokens);

    private Form Make(Attention shape, float[] bias, AttentionPattern? pattern)
    {
        var form = new Form(shape, bias, pattern, new float[_q.Length], new float[Heads * Tokens]);
        Forward(form);
        return form;
    }

    private void Forward(Form f) => f.Shape.Forward(_q, _k, _v, f.Output, default, f.Bias, f.LogSums, f.Pattern);

    private void Backward(Form f) => f.Shape.Backward(_q, _k, _v, f.Output, f.LogSums, _dy, _dq, _dk, _dv, default, f.Bias, default, f.Pattern);

    private sealed record Form(Attention Shape, float[] Bias, AttentionPattern? Pattern, float[] Output, float[] LogSums);
}
