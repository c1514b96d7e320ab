using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.SparseOps.Vector;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A sparse matrix prepared for products with one vector: y [rows] = clamp(w x [columns] + bias). Its values are singles, bfloat16 or integers of 8 or 4 bits.</summary>
/// <remarks>
/// <para>The inputs of a window (128 columns; 256 of integers) stay in registers while all rows of a part meet them. 16 rows lie side by side in the lanes of a register, and a step takes the next four entries of every row:
/// permutations bring 64 of them their inputs. No gather, no spreading, no load of an input. In every window anew, rows are taken in the order of their number of entries there, so that the 16 are alike: at 10 to 50 % density 88 to 98 % of the places are
/// filled. Columns take a byte each, or 4 bits that say how far they lie behind the one before, whichever reads less.</para>
/// <para>Without permutations of bytes, with AVX2 alone, windows are narrow (<see cref="WindowForm"/>): inputs of floating point are loaded one by one from 256 columns in the first-level cache, for 4 rows at a time, and those of integers are
/// found in 64 columns by shuffles of 16 bytes, for 8 rows at a time.</para>
/// <para>As sliced ELLPACK (Monakov et al., 2010; sorted by length: Kreutzer et al., "SELL-C-sigma", 2014), sorted anew for each window, with registers in place of gathers. What a bit-mask (<see cref="Gemv"/>) costs to
/// spread its values hardly falls with their number; what this costs does.</para>
/// <para>A row's sum is that of its windows, in order. In a window floating point keeps four sums, of every fourth place, and adds them in one order (narrow windows go on with the four of the window before, and add them last); integers are exact and meet the inputs that <see cref="Gemv"/> makes
/// of x: 8-bit integers with a scale per 256 columns (NaN for a block with a value that is not finite). Bits are the same on every instruction set of a processor and for every number of threads; stored entries alone take part. Integers are the
/// same in both forms; floating point adds up the windows that the form of the processor has.</para>
/// </remarks>
public sealed unsafe class PreparedSpMV
{
    /// <summary>Columns of a window of integers: those that share a scale of the input. 4-bit values have to share theirs as well.</summary>
    public const int IntegerWindow = QuantizedInput.Block;

    private readonly WindowLayout _layout;
    private readonly float[] _rowScales = [];

    // Of narrow windows with 4-bit values: [256 columns, rows], half precision.
    private readonly ushort[] _groupScales = [];

    /// <summary>Prepares a matrix in single precision; it is copied.</summary>
    /// <param name="weight">The matrix.</param>
    public PreparedSpMV(CsrMatrix weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        _layout = new WindowLayout(WindowSource.Of(weight), WindowForms.OfMachine);
        StoredCount = weight.StoredCount;
    }

    /// <summary>Prepares a matrix in the type that it has; it is copied.</summary>
    /// <param name="weight">The matrix.</param>
    /// <exception cref="ArgumentException">Integers that <see cref="Fits"/> refuses.</exception>
    public PreparedSpMV(CompactMatrix weight) : this(weight, WindowForms.OfMachine)
    {
    }

    internal PreparedSpMV(CompactMatrix weight, WindowForm form)
    {
        ArgumentNullException.ThrowIfNull(weight);
        if (!Fits(weight))
        {
            throw new ArgumentException(weight.Kind == ValueKind.Int8 ? "8-bit values from -127 to 127 fit windows; there is a -128."
                : $"4-bit values share their scales in groups of {weight.GroupColumns} columns; windows need groups of {IntegerWindow} or more.", nameof(weight));
        }
        _layout = new WindowLayout(WindowSource.Of(weight), form);
        if (weight.Kind == ValueKind.Int8) _rowScales = MemoryMarshal.Cast<byte, float>(weight.Scales.Span).ToArray();
        if (weight.Kind == ValueKind.Int4 && form == WindowForm.Narrow) _groupScales = ScalesOf(WindowSource.Of(weight));
        StoredCount = weight.StoredCount;
    }

    /// <summary>Rows of the matrix.</summary>
    public int Rows => _layout.Shape.Rows;

    /// <summary>Columns of the matrix.</summary>
    public int Columns => _layout.Shape.Columns;

    /// <summary>Stored entries.</summary>
    public long StoredCount { get; }

    /// <summary>The type of the values.</summary>
    public ValueKind Kind => _layout.Shape.Kind;

    /// <summary>Bytes that a product reads of the matrix.</summary>
    public long Bytes => _layout.Bytes + (_groupScales.Length * sizeof(ushort));

    /// <summary>Whether products with values of a type run in registers on this machine; elsewhere compressed rows and bit-masks are faster.</summary>
    public static bool IsFast(ValueKind kind) => IsFast(kind, WindowForms.OfMachine);

    /// <summary>Wide parts that go together, up to <see cref="WindowParts.MostParts"/>; 0 for what suits the machine. Results do not depend on it.</summary>
    internal int PartsAtOnce { get; init; }

    // Processors with AVX-512 and without permutations of bytes keep compressed rows and bit-masks: nothing was measured there.
    private static bool IsFast(ValueKind kind, WindowForm form) =>
        form == WindowForm.Narrow ? SimdDispatch.Level == SimdLevel.Vector256 && !Avx512F.IsSupported && Avx2.IsSupported && Fma.IsSupported
        : kind.IsQuantized() ? WindowCode.IsUsable
        : SimdDispatch.Level == SimdLevel.Vector512 && Avx512BW.IsSupported && Avx512Vbmi.IsSupported;

    /// <summary>
    /// Whether a matrix can be prepared: all but 4-bit values that share a scale in groups of fewer than <see cref="IntegerWindow"/> columns, and 8-bit values of -128, which no encoding here
    /// makes: the sum of a window's values has 16 bits.
    /// </summary>
    public static bool Fits(CompactMatrix weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        return weight.Kind switch
        {
            ValueKind.Int4 => weight.GroupColumns >= IntegerWindow,
            ValueKind.Int8 => !weight.Values.Span.Contains(unchecked((byte)sbyte.MinValue)),
            _ => true,
        };
    }

    /// <summary>About the bytes that a product would read of a matrix, without preparing it.</summary>
    public static long CountBytes(CsrMatrix weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        return WindowLayout.Count(WindowSource.Of(weight), WindowForms.OfMachine).Bytes;
    }

    /// <inheritdoc cref="CountBytes(CsrMatrix)"/>
    public static long CountBytes(CompactMatrix weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        return WindowLayout.Count(WindowSource.Of(weight), WindowForms.OfMachine).Bytes;
    }

    /// <summary>y = clamp(w x + bias).</summary>
    /// <param name="x">[columns].</param>
    /// <param name="y">[rows]; must not overlap x.</param>
    /// <param name="bias">[rows], or empty.</param>
    /// <param name="activation">Applied last.</param>
    /// <exception cref="ArgumentException">A span has the wrong length.</exception>
    public void Multiply(ReadOnlySpan<float> x, Span<float> y, ReadOnlySpan<float> bias, Clamp activation)
    {
        if (x.Length != Columns) throw new ArgumentException($"{x.Length} inputs for {Columns} columns.", nameof(x));
        if (y.Length != Rows) throw new ArgumentException($"{y.Length} outputs for {Rows} rows.", nameof(y));
        PreparedSpMM.CheckOptional(bias.Length, Rows, nameof(bias));
        if (y.IsEmpty) return;
        fixed (float* py = y, pb = bias, scales = _rowScales)
        {
            if (_layout.Shape.Form == WindowForm.Narrow)
            {
                Narrow(new NarrowWindowParts { Layout = _layout, Y = py, Bias = pb, Clamp = activation, RowScales = scales, IsWide = IsFast(Kind, _layout.Shape.Form), PartsAtOnce = NarrowWindowParts.Together(_layout.Shape.Parts) }, x);
                return;
            }
            var parts = new WindowParts
            {
                Layout = _layout,
                Y = py,
                Bias = pb,
                Clamp = activation,
                RowScales = scales,
                IsWide = IsFast(Kind, _layout.Shape.Form),
                UsesCode = WindowCode.IsUsable,
                PartsAtOnce = PartsAtOnce > 0 ? PartsAtOnce : WindowParts.Together(_layout.Shape.Parts),
            };
            if (Kind.IsQuantized()) Integers(parts, x);
            else Floats(parts, x);
        }
    }

    private void Narrow(NarrowWindowParts parts, ReadOnlySpan<float> x)
    {
        int turns = Turns(parts.PartsAtOnce);
        if (Kind.IsQuantized())
        {
            using var input = new QuantizedInput(x, Kind, QuantizedInput.Block, splits: false);
            parts.Bytes = input.Values;
            parts.InputScales = input.Scales;
            fixed (ushort* scales = _groupScales)
            {
                parts.GroupScales = scales;
                WorkPool.Run(turns, parts);
            }
            return;
        }
        using Scratch.Buffer singles = Scratch.Rent(Math.Max(1, _layout.Shape.Windows) * _layout.Shape.Window);
        parts.Singles = singles.Pointer;
        x.CopyTo(new Span<float>(singles.Pointer, x.Length));
        new Span<float>(singles.Pointer + x.Length, (_layout.Shape.Windows * _layout.Shape.Window) - x.Length).Clear();
        parts.IsFinite = Gemv.IsFinite(x);
        parts.IsWide &= parts.IsFinite;
        WorkPool.Run(turns, parts);
    }

    private int Turns(int partsAtOnce) => (_layout.Shape.Parts + partsAtOnce - 1) / partsAtOnce;

    private static ushort[] ScalesOf(WindowSource source)
    {
        int blocks = (source.Columns + IntegerWindow - 1) / IntegerWindow;
        var scales = new ushort[checked(blocks * source.Rows)];
        for (int i = 0; i < scales.Length; i++) scales[i] = source.Scale(i % source.Rows, i / source.Rows * IntegerWindow);
        return scales;
    }

    private void Integers(WindowParts parts, ReadOnlySpan<float> x)
    {
        using var input = new QuantizedInput(x, Kind, QuantizedInput.Block, splits: false);
        // Unsigned, as the instruction wants them.
        int padded = Math.Max(1, _layout.Shape.Windows) * QuantizedInput.Block;
        for (int c = 0; c < padded; c += Vector256<byte>.Count) (Vector256.Load((byte*)input.Values + c) ^ Vector256.Create((byte)0x80)).Store((byte*)input.Values + c);
        parts.X = (byte*)input.Values;
        parts.InputScales = input.Scales;
        WorkPool.Run(Turns(parts.PartsAtOnce), parts);
    }

    private void Floats(WindowParts parts, ReadOnlySpan<float> x)
    {
        // Singles, and behind them their bytes.
        int padded = Math.Max(1, _layout.Shape.Windows) * _layout.Shape.Window;
        using Scratch.Buffer input = Scratch.Rent(2L * padded);
        float* singles = input.Pointer;
        x.CopyTo(new Span<float>(singles, x.Length));
        new Span<float>(singles + x.Length, padded - x.Length).Clear();
        byte* bytes = (byte*)(singles + padded);
        parts.Singles = singles;
        parts.X = bytes;
        parts.IsFinite = Split(singles, padded, bytes);
        parts.IsWide &= parts.IsFinite;
        WorkPool.Run(Turns(parts.PartsAtOnce), parts);
    }

    /// <summary>Puts the lowest bytes of 128 numbers side by side, the next behind them and so on. Returns whether every number is finite.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool Split(float* x, int count, byte* to)
    {
        const int Window = 128;
        Vector256<uint> exponent = Vector256.Create(0x7F800000u), infinite = Vector256<uint>.Zero, low = Vector256.Create(0xFFu);
        for (int i = 0; i < count; i += 32)
        {
            uint* from = (uint*)x + i;
            byte* at = to + (i / Window * (4 * Window)) + (i % Window);
            Vector256<uint> a = Vector256.Load(from), b = Vector256.Load(from + 8), c = Vector256.Load(from + 16), d = Vector256.Load(from + 24);
            infinite |= Vector256.Equals(a & exponent, exponent) | Vector256.Equals(b & exponent, exponent) | Vector256.Equals(c & exponent, exponent) | Vector256.Equals(d & exponent, exponent);
            for (int shift = 0; shift < 32; shift += 8, at += Window)
                Vector256.Narrow(Vector256.Narrow(a >>> shift & low, b >>> shift & low), Vector256.Narrow(c >>> shift & low, d >>> shift & low)).Store(at);
        }
        return infinite == Vector256<uint>.Zero;
    }
}
