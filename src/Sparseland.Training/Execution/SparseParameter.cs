using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps;
using Sparseland.Training.Autograd;
using Sparseland.Training.Operators;

namespace Sparseland.Training.Execution;

/// <summary>The products of a masked parameter by sparse kernels: forward, and the gradients of input and weight.</summary>
/// <remarks>
/// The structure is prepared once per mask, and compiled when a second step uses it, or when it is used for the fourth time with the same values (frozen weights, evaluation); after a step only the stored values are copied over. The gradient has kept
/// entries only, in the mask's order; when the full gradient is wanted (regrowth), the dense kernels compute it. Between
/// steps the kept entries are the truth (<see cref="Packed"/>); the dense values are made when somebody asks for them.
/// </remarks>
internal sealed class SparseParameter
{
    private readonly Dictionary<SparseConvolutionShape, (PreparedSparseConvolution Prepared, long Version)> _convolutions = [];
    private (PreparedSpMM Prepared, long Version)? _matrix;
    private long _maskVersion;
    private (float[] Values, long Version)? _packed;

    /// <summary>Whether a parameter's mask is thin enough.</summary>
    public static bool Use(Parameter? parameter, double breakEven) =>
        parameter?.Mask is { } mask && mask.Density <= breakEven;

    /// <summary>a [m, k] times the parameter b, stored [n, k] when <paramref name="transB"/>, else [k, n]; plus bias [n].</summary>
    public static Tensor Linear(Tensor a, Tensor b, bool transB, Tensor? bias, Parameter parameter)
    {
        int m = a.Shape[0], k = a.Shape[1], n = b.Shape[transB ? 0 : 1];
        PreparedSpMM w = parameter.Sparse.Matrix(parameter);
        Mask mask = parameter.Mask!;
        Tensor y = Tensor.Uninitialized([m, n]);
        if (transB)
        {
            w.Linear(a.Values, m, y.Values, bias is null ? default : bias.Values, default, Clamp.None);
        }
        else
        {
            // Stored the other way round, the product is the one that gives a linear layer its input gradient.
            w.LinearInputGradient(a.Values, m, y.Values);
            if (bias is not null)
            {
                float[] to = y.Array, add = bias.Array;
                Chunks.Rows(m, n, row => TensorPrimitives.Add(to.AsSpan(row * n, n), add.AsSpan(0, n), to.AsSpan(row * n, n)));
            }
        }
        return Tape.Record("SparseLinear", y, [a, b, bias], [a, b], flow =>
        {
            Tensor g = flow.Output();
            if (flow.Needs(1))
            {
                long start = StepClock.Start();
                WeightGradient();
                StepClock.Stop(StepClock.WeightGradient, "SparseLinear", start);
            }
            if (flow.Needs(2)) flow.Give(2, Broadcasting.SumTo(flow.Share([m, n]), bias!.Shape));
            if (flow.Needs(0))
            {
                Tensor ga = Tensor.Uninitialized([m, k]);
                if (transB) w.LinearInputGradient(g.Values, m, ga.Values);
                else w.Linear(g.Values, m, ga.Values);
                flow.Give(0, ga);
            }

            void WeightGradient()
            {
                if (parameter.WantsDenseGradient)
                {
                    Tensor gw = Tensor.Uninitialized(b.Shape);
                    if (transB) Gemm.Multiply(true, false, n, k, m, 1, g.Values, Math.Max(n, 1), a.Values, Math.Max(k, 1), 0, gw.Values, Math.Max(k, 1));
                    else Gemm.Multiply(true, false, k, n, m, 1, a.Values, Math.Max(k, 1), g.Values, Math.Max(n, 1), 0, gw.Values, Math.Max(n, 1));
                    flow.Give(1, gw);
                    return;
                }
                float[] stored = b.RentStored(mask);
                if (transB) w.LinearWeightGradient(a.Values, g.Values, m, stored);
                else w.LinearWeightGradient(g.Values, a.Values, m, stored);
                flow.GiveStored(1, stored, mask);
            }
        });
    }

    /// <summary>The convolution of x with the parameter w; null when the geometry is beyond the sparse kernels (cropping pads).</summary>
    public static Tensor? Convolution(Tensor x, Tensor w, Tensor? bias, Convolution2D geometry, int[] shape, Parameter parameter)
    {
        if (geometry.PadTop < 0 || geometry.PadLeft < 0 || geometry.PadBottom < 0 || geometry.PadRight < 0) return null;
        PreparedSparseConvolution prepared = parameter.Sparse.Convolution(parameter, geometry);
        Mask mask = parameter.Mask!;
        int batch = geometry.Batch, height = geometry.Height, width = geometry.Width;
        Tensor y = Tensor.Uninitialized(shape);
        prepared.Forward(x.Values, batch, height, width, y.Values, bias is null ? default : bias.Values, default, Clamp.None);
        return Tape.Record("SparseConv", y, [x, w, bias], [x, w], flow =>
        {
            Tensor g = flow.Output();
            if (flow.Needs(1))
            {
                long start = StepClock.Start();
                if (parameter.WantsDenseGradient)
                {
                    Tensor gw = Tensor.Uninitialized(w.Shape);
                    geometry.BackwardWeight(x.Values, g.Values, gw.Values);
                    flow.Give(1, gw);
                }
                else
                {
                    float[] stored = w.RentStored(mask);
                    prepared.WeightGradient(x.Values, g.Values, batch, height, width, stored);
                    flow.GiveStored(1, stored, mask);
                }
                StepClock.Stop(StepClock.WeightGradient, "SparseConv", start);
            }
            if (flow.Needs(2))
            {
                Tensor gb = Tensor.Uninitialized([geometry.OutChannels]);
                geometry.BackwardBias(g.Values, gb.Values);
                flow.Give(2, gb);
            }
            if (flow.Needs(0))
            {
                Tensor gx = Tensor.Uninitialized(x.Shape);
                prepared.InputGradient(g.Values, batch, height, width, gx.Values);
                flow.Give(0, gx);
            }
        });
    }

    /// <summary>Bytes of what was prepared, the kept entries not counted.</summary>
    public long PreparedBytes => (_matrix?.Prepared.PreparedBytes ?? 0) + _convolutions.Values.Sum(c => c.Prepared.PreparedBytes);

    /// <summary>The kept entries in the mask's order; an optimizer may change them and then calls <see cref="Parameter.TouchPacked"/>.</summary>
    public float[] Packed(Parameter p)
    {
        if (_packed is { } packed && packed.Version == p.Version) return packed.Values;
        var values = new float[p.Mask!.KeptCount];
        p.Mask.Gather(p.Value.Values, values);
        _packed = (values, p.Version);
        return values;
    }

    /// <summary>The kept entries if they are the values as they are now; null when the whole form is.</summary>
    public float[]? PackedNow(Parameter p) => _packed is { } packed && packed.Version == p.Version ? packed.Values : null;

    /// <summary>Takes over kept entries for a version.</summary>
    public void SetPacked(float[] values, long version) => _packed = (values, version);

    /// <summary>The kept entries, which stay valid for the parameter's new version.</summary>
    public float[] KeepPacked(Parameter p)
    {
        float[] values = _packed!.Value.Values;
        _packed = (values, p.Version);
        return values;
    }

    private PreparedSpMM Matrix(Parameter p)
    {
        ForgetOldMask(p);
        if (_matrix is not { } entry)
        {
            // The weight as it is stored, rows and columns of the array.
            entry = (new PreparedSpMM(CsrMatrix.FromKept(p.Mask!, Packed(p), p.Value.Shape[0], p.Value.Shape[1]), compileOnReuse: true), p.Version);
        }
        else if (entry.Version != p.Version)
        {
            entry.Prepared.SetValues(Packed(p));
            entry.Version = p.Version;
        }
        _matrix = entry;
        return entry.Prepared;
    }

    private PreparedSparseConvolution Convolution(Parameter p, Convolution2D g)
    {
        ForgetOldMask(p);
        var shape = new SparseConvolutionShape(g.InChannels, g.OutChannels, g.KernelHeight, g.KernelWidth)
        {
            StrideHeight = g.StrideY,
            StrideWidth = g.StrideX,
            DilationHeight = g.DilationY,
            DilationWidth = g.DilationX,
            PadTop = g.PadTop,
            PadLeft = g.PadLeft,
            PadBottom = g.PadBottom,
            PadRight = g.PadRight,
            Groups = g.Groups,
        };
        if (!_convolutions.TryGetValue(shape, out var entry))
        {
            entry = (new PreparedSparseConvolution(shape, CsrMatrix.FromKept(p.Mask!, Packed(p), g.OutChannels, shape.WeightsPerOutput), compileOnReuse: true), p.Version);
        }
        else if (entry.Version != p.Version)
        {
            entry.Prepared.SetValues(Packed(p));
            entry.Version = p.Version;
        }
        _convolutions[shape] = entry;
        return entry.Prepared;
    }

    private void ForgetOldMask(Parameter p)
    {
        if (_maskVersion == p.MaskVersion) return;
        _matrix = null;
        _convolutions.Clear();
        _maskVersion = p.MaskVersion;
    }
}
