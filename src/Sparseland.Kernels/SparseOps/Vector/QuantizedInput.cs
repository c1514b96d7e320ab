using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>The input of integer products: signed 8-bit integers with one scale per block of 256 columns.</summary>
/// <remarks>
/// A block is scaled by its largest magnitude / 127 and rounded to nearest even; a block with a value that is not finite gets the scale NaN,
/// so that every output that it reaches is NaN. Sums of integers are exact, whatever the order: that is what makes these products equal on every level.
/// </remarks>
internal unsafe ref struct QuantizedInput
{
    /// <summary>Columns that share a scale.</summary>
    public const int Block = 256;

    private readonly Scratch.Buffer _memory;

    /// <summary>Quantises x for weights of a kind.</summary>
    /// <param name="x">The input.</param>
    /// <param name="kind">Int8 or Int4.</param>
    /// <param name="piece">Columns after which integer sums become floats: 256, or 64 or 128 for finer groups of 4-bit weights.</param>
    /// <param name="splits">Whether magnitudes and signs lie apart; else sums begin at minus what makes weights unsigned.</param>
    public QuantizedInput(ReadOnlySpan<float> x, ValueKind kind, int piece, bool splits)
    {
        int blocks = Math.Max(1, (x.Length + Block - 1) / Block), padded = blocks * Block, pieces = padded / piece;
        _memory = Scratch.Rent((2 * padded / sizeof(float)) + (pieces * (16 + 1)));
        Starts = (int*)_memory.Pointer;
        Scales = (float*)(Starts + (pieces * 16));
        Values = (sbyte*)(Scales + pieces);
        Signs = Values + padded;
        for (int b = 0; b < blocks; b++)
        {
            int first = b * Block, length = Math.Clamp(x.Length - first, 0, Block);
            float scale = Quantize(x.Slice(first, length), Values + first);
            new Span<sbyte>(Values + first + length, Block - length).Clear();
            for (int p = first / piece; p < (first + Block) / piece; p++) Scales[p] = scale;
        }
        new Span<int>(Starts, pieces * 16).Clear();
        if (splits) SplitSigns(padded, piece);
        else StartAtMinus(kind == ValueKind.Int4 ? 8 : 128, padded, piece);
    }

    /// <summary>The integers; their magnitudes where signs lie apart. Zeros up to a multiple of 256.</summary>
    public sbyte* Values { get; }

    /// <summary>Where signs lie apart: -1 where the integer is negative, else 0.</summary>
    public sbyte* Signs { get; }

    /// <summary>[pieces, 16]: with which integers the lanes of each piece begin.</summary>
    public int* Starts { get; }

    /// <summary>[pieces].</summary>
    public float* Scales { get; }

    /// <summary>Gives the memory back.</summary>
    public readonly void Dispose() => _memory.Dispose();

    private static float Quantize(ReadOnlySpan<float> x, sbyte* values)
    {
        int c = 0;
        Vector256<float> most = Vector256<float>.Zero;
        for (; c + 8 <= x.Length; c += 8) most = Vector256.Max(most, Vector256.Abs(Vector256.Create(x.Slice(c, 8))));
        float largest = 0;
        // Both kinds of maximum pass NaN on.
        for (int i = 0; i < 8; i++) largest = MathF.Max(largest, most[i]);
        for (; c < x.Length; c++) largest = MathF.Max(largest, MathF.Abs(x[c]));
        if (largest == 0 || !float.IsFinite(largest))
        {
            new Span<sbyte>(values, x.Length).Clear();
            return largest == 0 ? 0 : float.NaN;
        }
        float scale = MathF.Max(largest / 127f, float.Epsilon);
        Vector256<float> divisor = Vector256.Create(scale);
        for (c = 0; c + 32 <= x.Length; c += 32)
        {
            Vector256<short> first = Vector256.Narrow(Rounded(x.Slice(c, 8), divisor), Rounded(x.Slice(c + 8, 8), divisor));
            Vector256<short> second = Vector256.Narrow(Rounded(x.Slice(c + 16, 8), divisor), Rounded(x.Slice(c + 24, 8), divisor));
            Vector256.Narrow(first, second).Store(values + c);
        }
        for (; c < x.Length; c++) values[c] = (sbyte)MathF.Max(MathF.Min(MathF.Round(x[c] / scale), 127f), -127f);
        return scale;
    }

    /// <summary>Eight values in steps of the scale, to nearest even.</summary>
    private static Vector256<int> Rounded(ReadOnlySpan<float> x, Vector256<float> scale)
    {
        Vector256<float> steps = Vector256.Round(Vector256.Create(x) / scale);
        return Vector256.ConvertToInt32(Vector256.Max(Vector256.Min(steps, Vector256.Create(127f)), Vector256.Create(-127f)));
    }

    /// <summary>4-bit weights are stored as q + 8, 8-bit ones made unsigned by adding 128: the sums begin at minus that times the sum of the inputs.</summary>
    private readonly void StartAtMinus(int added, int padded, int piece)
    {
        int* start = Starts;
        if (Avx2.IsSupported)
        {
            for (int first = 0; first < padded; first += piece, start += 16)
            {
                Vector256<int> low = Vector256<int>.Zero, high = low;
                for (int c = first; c < first + piece; c += 64)
                {
                    low += Fours(Vector256.Load(Values + c));
                    high += Fours(Vector256.Load(Values + c + 32));
                }
                (low * -added).Store(start);
                (high * -added).Store(start + 8);
            }
            return;
        }
        for (int first = 0; first < padded; first += piece, start += 16)
        {
            for (int c = 0; c < piece; c += 4)
            {
                sbyte* v = Values + first + c;
                start[(c & 63) >> 2] -= added * (v[0] + v[1] + v[2] + v[3]);
            }
        }
    }

    /// <summary>The sums of four bytes each.</summary>
    private static Vector256<int> Fours(Vector256<sbyte> v) => Avx2.MultiplyAddAdjacent(Avx2.MultiplyAddAdjacent(Vector256<byte>.One, v), Vector256<short>.One);

    /// <summary>
    /// w x = (w ^ s) |x| + [s = -1] |x| with s = -1 for negative x: the instruction multiplies unsigned by signed bytes, and the second
    /// term does not depend on w, so that the sums begin with it.
    /// </summary>
    private readonly void SplitSigns(int padded, int piece)
    {
        int* start = Starts;
        if (Avx2.IsSupported)
        {
            for (int first = 0; first < padded; first += piece, start += 16)
            {
                Vector256<int> low = Vector256<int>.Zero, high = low;
                for (int c = first; c < first + piece; c += 64)
                {
                    low += Fours(SplitSigns(c));
                    high += Fours(SplitSigns(c + 32));
                }
                low.Store(start);
                high.Store(start + 8);
            }
            return;
        }
        for (int first = 0; first < padded; first += piece, start += 16)
        {
            for (int c = 0; c < piece; c++)
            {
                int v = Values[first + c], sign = v >> 31;
                Signs[first + c] = (sbyte)sign;
                Values[first + c] = (sbyte)((v ^ sign) - sign);
                start[(c & 63) >> 2] -= v & sign;
            }
        }
    }

    /// <summary>The same for 32 columns; returns the magnitudes of negative integers, which are from -127 on.</summary>
    private readonly Vector256<sbyte> SplitSigns(int column)
    {
        Vector256<sbyte> v = Vector256.Load(Values + column), sign = Vector256.LessThan(v, Vector256<sbyte>.Zero), magnitude = Avx2.Abs(v).AsSByte();
        magnitude.Store(Values + column);
        sign.Store(Signs + column);
        return magnitude & sign;
    }
}
