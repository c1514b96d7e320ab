using Sparseland.Kernels.Dense;
using Sparseland.Pruning.Criteria;
using Sparseland.Training;
using Sparseland.Training.Autograd;

namespace Sparseland.Pruning.Recovery;

/// <summary>How a low-rank product changes a weight under its mask.</summary>
public enum AdapterKind
{
    /// <summary>W + s (M * (B A)) with s = alpha / rank; A starts random, B at 0.</summary>
    MaskLora,

    /// <summary>W * (B A); A and B start at 1 / sqrt(rank), so that the product is 1.</summary>
    ScaleLora,

    /// <summary>W + s B A with s = alpha / rank, dense while it is trained, cut to W + s (M * (B A)) at the end; A starts random, B at 0.</summary>
    LoraPrune,
}

/// <summary>Two thin matrices whose product changes a pruned weight; after the last merge the mask M holds, so the density cannot rise (R16).</summary>
/// <remarks>
/// Zimmer, Andoni, Spiegel and Pokutta, "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs", 2023, section 3.2 (LoRA-Prune, MaskLoRA, ScaleLoRA). The weight [d0, d1, ...] is seen as a matrix [d0, d1 * ...]. Its value
/// is always the merged one, so nothing extra is computed or kept when it is used. With G = dL/dW, zero where M is: dL/dB = s G A^T and dL/dA = s B^T G (MaskLoRA), the same with G * W for ScaleLoRA. With MaskLoRA and
/// ScaleLoRA the mask holds at every step. LoRA-Prune trains W + s B A: whoever drives it takes the weight's mask away meanwhile and gives it back before the last <see cref="Merge"/>; what that cut removes was never
/// trained to be missing, which is its weakness.
/// </remarks>
public sealed class LowRankAdapter
{
    private readonly Parameter _weight;
    private readonly float[] _base;
    private readonly AdapterKind _kind;
    private readonly int _rows, _columns, _rank;
    private readonly float _scale;

    /// <summary>Adapts a weight; its present values are what the adapter changes.</summary>
    /// <param name="weight">The weight.</param>
    /// <param name="kind">How.</param>
    /// <param name="rank">Rank of the product.</param>
    /// <param name="alpha">Strength of MaskLoRA and LoRA-Prune; ScaleLoRA does not use it.</param>
    /// <param name="seed">Seed of A.</param>
    public LowRankAdapter(Parameter weight, AdapterKind kind, int rank, double alpha, long seed)
    {
        ArgumentNullException.ThrowIfNull(weight);
        ArgumentOutOfRangeException.ThrowIfLessThan(rank, 1);
        _weight = weight;
        _kind = kind;
        _rank = rank;
        _rows = weight.Value.Shape.Length == 0 ? 1 : weight.Value.Shape[0];
        _columns = _rows == 0 ? 0 : weight.Value.Length / _rows;
        _scale = kind == AdapterKind.ScaleLora ? 1f : (float)(alpha / rank);
        _base = weight.Value.ToArray();
        float[] a = new float[rank * _columns], b = new float[_rows * rank];
        if (kind != AdapterKind.ScaleLora)
        {
            // Kaiming-uniform with negative slope sqrt(5), as linear layers start: within 1 / sqrt(columns).
            SeededRandom random = RandomCriterion.ForLayer(seed, weight.Name, 0xADA);
            double bound = 1 / Math.Sqrt(Math.Max(1, _columns));
            for (int i = 0; i < a.Length; i++) a[i] = (float)random.NextDouble(-bound, bound);
        }
        else
        {
            Array.Fill(a, (float)(1 / Math.Sqrt(rank)));
            Array.Fill(b, (float)(1 / Math.Sqrt(rank)));
        }
        A = Parameter.Free(weight.Name + ".lora-a", Tensor.Wrap(a, rank, _columns));
        B = Parameter.Free(weight.Name + ".lora-b", Tensor.Wrap(b, _rows, rank));
    }

    /// <summary>A [rank, columns].</summary>
    public Parameter A { get; }

    /// <summary>B [rows, rank].</summary>
    public Parameter B { get; }

    /// <summary>The weight's values without the adapter, for checkpoints.</summary>
    public ReadOnlySpan<float> Base => _base;

    /// <summary>The weight.</summary>
    public Parameter Weight => _weight;

    /// <summary>Takes the weight's gradient over to A and B and clears it, so that an optimizer leaves the weight alone.</summary>
    public void TakeGradient()
    {
        if (_weight.Grad is not { } gradient) return;
        float[] g = gradient.ToArray();
        _weight.Mask?.Apply(g);
        if (_kind == AdapterKind.ScaleLora)
        {
            for (int i = 0; i < g.Length; i++) g[i] *= _base[i];
        }
        float[] ga = new float[A.Value.Length], gb = new float[B.Value.Length];
        Gemm.Multiply(false, true, _rows, _rank, _columns, _scale, g, _columns, A.Value.Values, _columns, 0f, gb, _rank);
        Gemm.Multiply(true, false, _rank, _columns, _rows, _scale, B.Value.Values, _rank, g, _columns, 0f, ga, _columns);
        A.Value.ZeroGrad();
        B.Value.ZeroGrad();
        A.AddGradient(Tensor.Wrap(ga, _rank, _columns));
        B.AddGradient(Tensor.Wrap(gb, _rows, _rank));
        _weight.Value.ZeroGrad();
    }

    /// <summary>Writes the merged value into the weight; entries that its present mask removes are zero.</summary>
    public void Merge()
    {
        Span<float> w = _weight.Value.Values;
        float[] product = new float[w.Length];
        Gemm.Multiply(false, false, _rows, _columns, _rank, _scale, B.Value.Values, _rank, A.Value.Values, _columns, 0f, product, _columns);
        for (int i = 0; i < product.Length; i++) w[i] = _kind == AdapterKind.ScaleLora ? _base[i] * product[i] : _base[i] + product[i];
        _weight.TouchValues();
    }

    /// <summary>Takes the values without the adapter from a checkpoint.</summary>
    internal void SetBase(ReadOnlySpan<float> values) => values.CopyTo(_base);
}
