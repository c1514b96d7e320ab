using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A sparse matrix prepared for products with one vector: y [rows] = clamp(w x [columns] + bias).</summary>
/// <remarks>
/// <para>16 rows lie side by side in the lanes of a register. A step takes the next two entries of every row that has some in a window of 64 inputs. The upper and the lower halves of the inputs
/// lie apart, so that a window of each is two registers and one permutation brings 32 entries the halves of their inputs. No gather, no spreading, no fold at the end of a row, no jump but the end of 16 rows. Windows start
/// at multiples of 16; places without an entry in the window hold a zero. At 10 % density 77 % of the places are filled, at 30 % 92 %; a step takes 162 bytes in single precision and 98 in bfloat16. Rows are taken in the
/// order of their number of entries, which keeps the 16 alike.</para>
/// <para>As sliced ELLPACK (Monakov et al., 2010; sorted by length: Kreutzer et al., "SELL-C-sigma", 2014), with windows in place of gathers. A bit-mask (<see cref="Gemv"/>) has fewer bytes, but what it costs to spread
/// its values hardly falls with their number.</para>
/// <para>Each row keeps two sums, of the first and of the second entries of its steps. Bits are the same on every instruction set and for every number of threads; stored entries alone take
/// part. Where there is no AVX-512 compressed rows are faster (<see cref="SpMV"/>).</para>
/// </remarks>
public sealed unsafe class PreparedSpMV
{
    private const int Lanes = 16, Window = 64, Unit = 16, PlacesPerStep = 2 * Lanes;

    // Marks a place without an entry; permutations read the lowest six bits only.
    private const byte Empty = 0x80;

    private const int StepsPerPart = 256, MostParts = 32;

    // Bytes ahead that memory is asked for: with one stream of values a thread the hardware alone is not early enough.
    private const int ValuesAhead = 2048, PlacesAhead = 512;

    private readonly byte[] _values;

    // [steps, 4, first or second, 4]: the place in the window of each entry of four rows, as unpacking orders them.
    private readonly byte[] _places;

    // How many times 16 inputs each window lies behind the one before it, or behind the first input.
    private readonly ushort[] _advances;
    private readonly int[] _groups;

    // The row of each lane; -1 behind the last.
    private readonly int[] _order;
    private readonly int[] _parts;

    /// <summary>Prepares a matrix; it is copied.</summary>
    /// <param name="weight">The matrix.</param>
    /// <param name="kind">Single precision, or bfloat16: values are rounded to that, to nearest even.</param>
    /// <exception cref="ArgumentException">Another type.</exception>
    public PreparedSpMV(CsrMatrix weight, ValueKind kind = ValueKind.Float32)
    {
        ArgumentNullException.ThrowIfNull(weight);
        if (kind is not (ValueKind.Float32 or ValueKind.BFloat16)) throw new ArgumentException($"Windows hold single precision or bfloat16, not {kind}.", nameof(kind));
        (Rows, Columns, StoredCount, Kind) = (weight.Rows, weight.Columns, weight.StoredCount, kind);
        int groups = (Rows + Lanes - 1) / Lanes;
        _order = SortedRows(weight, groups * Lanes);
        _groups = new int[groups + 1];
        var walk = new Walk(weight, _order);
        for (int g = 0; g < groups; g++)
        {
            int steps = _groups[g];
            for (walk.Begin(g); walk.Next(default, default, out _);) steps = checked(steps + 1);
            _groups[g + 1] = steps;
        }
        int all = _groups[groups], width = kind.Bits() / 8;
        _advances = new ushort[all];
        _places = GC.AllocateUninitializedArray<byte>(checked((all * PlacesPerStep) + CompactMatrix.Slack), pinned: true);
        _values = GC.AllocateUninitializedArray<byte>(checked((all * PlacesPerStep * width) + CompactMatrix.Slack), pinned: true);
        // Before they are written, so that nothing has to be moved.
        LargePages.Ask<byte>(_places);
        LargePages.Ask<byte>(_values);
        Span<float> values = stackalloc float[PlacesPerStep];
        for (int g = 0, step = 0; g < groups; g++)
        {
            for (walk.Begin(g); step < _groups[g + 1]; step++)
            {
                _ = walk.Next(values, _places.AsSpan(Aligned(_places) + (step * PlacesPerStep), PlacesPerStep), out ushort advance);
                _advances[step] = advance;
                Store(values, _values.AsSpan(Aligned(_values) + (step * PlacesPerStep * width), PlacesPerStep * width), kind);
            }
        }
        _parts = Partition(_groups);
    }

    /// <summary>Rows of the matrix.</summary>
    public int Rows { get; }

    /// <summary>Columns of the matrix.</summary>
    public int Columns { get; }

    /// <summary>Stored entries.</summary>
    public int StoredCount { get; }

    /// <summary>The type of the values.</summary>
    public ValueKind Kind { get; }

    /// <summary>Steps of a product, each of 32 places: <see cref="CountSteps"/>.</summary>
    public long Steps => _advances.Length;

    /// <summary>Bytes that a product reads of the matrix.</summary>
    public long Bytes => _advances.LongLength * ((PlacesPerStep * (1 + (Kind.Bits() / 8))) + sizeof(ushort));

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
        // Singles, and behind them their upper and their lower halves.
        int padded = (Columns + Window + Unit - 1) / Unit * Unit;
        using Scratch.Buffer input = Scratch.Rent(2L * padded);
        ushort* upper = (ushort*)(input.Pointer + padded), lower = upper + padded;
        bool finite = CopyInput(x, padded, input.Pointer, upper, lower);
        fixed (float* py = y, pb = bias)
        fixed (byte* values = _values, places = _places)
        fixed (ushort* advances = _advances)
        fixed (int* groups = _groups, order = _order, parts = _parts)
        {
            WorkPool.Run(_parts.Length - 1, new GroupParts
            {
                Values = values + Aligned(_values),
                Places = places + Aligned(_places),
                Advances = advances,
                Groups = groups,
                Order = order,
                Parts = parts,
                X = input.Pointer,
                Upper = upper,
                Lower = lower,
                Y = py,
                Bias = pb,
                Clamp = activation,
                IsHalf = Kind == ValueKind.BFloat16,
                IsFinite = finite,
                IsWide = SimdDispatch.Level == SimdLevel.Vector512 && Avx512BW.IsSupported,
            });
        }
    }

    /// <summary>How many steps a product with a matrix would take, without preparing it.</summary>
    public static long CountSteps(CsrMatrix weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        int groups = (weight.Rows + Lanes - 1) / Lanes;
        var walk = new Walk(weight, SortedRows(weight, groups * Lanes));
        long steps = 0;
        for (int g = 0; g < groups; g++)
        {
            for (walk.Begin(g); walk.Next(default, default, out _);) steps++;
        }
        return steps;
    }

    // Whether every number is finite; zeros behind the end.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool CopyInput(ReadOnlySpan<float> x, int padded, float* to, ushort* upper, ushort* lower)
    {
        x.CopyTo(new Span<float>(to, x.Length));
        new Span<float>(to + x.Length, padded - x.Length).Clear();
        Vector256<uint> exponent = Vector256.Create(0x7F800000u), infinite = Vector256<uint>.Zero, half = Vector256.Create(0xFFFFu);
        for (int i = 0; i < padded; i += 16)
        {
            Vector256<uint> a = Vector256.Load((uint*)to + i), b = Vector256.Load((uint*)to + i + 8);
            infinite |= Vector256.Equals(a & exponent, exponent) | Vector256.Equals(b & exponent, exponent);
            Vector256.Narrow(a >>> 16, b >>> 16).Store(upper + i);
            Vector256.Narrow(a & half, b & half).Store(lower + i);
        }
        return infinite == Vector256<uint>.Zero;
    }

    // bfloat16: the first entry of each lane in the lower half of 32 bits, the second in the upper one.
    private static void Store(ReadOnlySpan<float> values, Span<byte> to, ValueKind kind)
    {
        if (kind == ValueKind.Float32)
        {
            MemoryMarshal.AsBytes(values).CopyTo(to);
            return;
        }
        Span<ushort> halves = MemoryMarshal.Cast<byte, ushort>(to);
        for (int lane = 0; lane < Lanes; lane++)
        {
            halves[2 * lane] = CompactEncoding.ToBFloat16(values[lane]);
            halves[(2 * lane) + 1] = CompactEncoding.ToBFloat16(values[Lanes + lane]);
        }
    }

    // Unpacking two registers of 16-bit numbers takes the first or the last four of every eight.
    private static int PlaceAt(int lane, int slot) => (lane / 4 * 8) + (slot * 4) + (lane % 4);

    private static int Aligned(byte[] pinned)
    {
        nint address = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(pinned));
        return (int)((64 - (address & 63)) & 63);
    }

    private static int[] SortedRows(CsrMatrix weight, int lanes)
    {
        var order = new int[lanes];
        Array.Fill(order, -1);
        int[] counts = new int[weight.Rows];
        for (int r = 0; r < counts.Length; r++) counts[r] = weight.RowPointers[r] - weight.RowPointers[r + 1];
        Enumerable.Range(0, weight.Rows).OrderBy(r => counts[r]).ToArray().CopyTo(order, 0);
        return order;
    }

    // Groups of nearly equal numbers of steps.
    private static int[] Partition(int[] groups)
    {
        int count = groups.Length - 1, steps = groups[^1], group = 0;
        var parts = new int[Math.Clamp(steps / StepsPerPart, 1, Math.Max(1, Math.Min(MostParts, count))) + 1];
        for (int p = 1; p < parts.Length - 1; p++)
        {
            long target = (long)steps * p / (parts.Length - 1);
            while (group < count && groups[group] < target) group++;
            parts[p] = group;
        }
        parts[^1] = count;
        return parts;
    }

    /// <summary>The steps of 16 rows after the other.</summary>
    private sealed class Walk(CsrMatrix weight, int[] order)
    {
        private readonly int[] _next = new int[Lanes], _end = new int[Lanes];
        private int _window;

        /// <summary>Goes to the first entries of a group.</summary>
        public void Begin(int group)
        {
            for (int lane = 0; lane < Lanes; lane++)
            {
                int row = order[(group * Lanes) + lane];
                (_next[lane], _end[lane]) = row < 0 ? (0, 0) : (weight.RowPointers[row], weight.RowPointers[row + 1]);
            }
            _window = 0;
        }

        /// <summary>Takes a step; false behind the last entry.</summary>
        /// <param name="values">[2, 16], or empty: nothing is written.</param>
        /// <param name="places">[32].</param>
        /// <param name="advance">How far the window goes.</param>
        public bool Next(Span<float> values, Span<byte> places, out ushort advance)
        {
            advance = 0;
            ReadOnlySpan<int> columns = weight.ColumnIndices;
            int first = int.MaxValue;
            for (int lane = 0; lane < Lanes; lane++)
            {
                if (_next[lane] < _end[lane]) first = Math.Min(first, columns[_next[lane]]);
            }
            if (first == int.MaxValue) return false;
            values.Clear();
            places.Fill(Empty);
            int units = (first - _window) / Unit;
            // A step for each stretch without entries that is too long for one.
            bool reaches = units <= ushort.MaxValue;
            advance = (ushort)Math.Min(units, ushort.MaxValue);
            _window += advance * Unit;
            for (int lane = 0; reaches && lane < Lanes; lane++)
            {
                for (int slot = 0; slot < 2 && _next[lane] < _end[lane] && columns[_next[lane]] - _window < Window; slot++)
                {
                    int j = _next[lane]++;
                    if (values.IsEmpty) continue;
                    values[(slot * Lanes) + lane] = weight.Values[j];
                    places[PlaceAt(lane, slot)] = (byte)(columns[j] - _window);
                }
            }
            return true;
        }
    }

    private struct GroupParts : IParts
    {
        public float* X, Y, Bias;
        public byte* Values, Places;
        public ushort* Upper, Lower, Advances;
        public int* Groups, Order, Parts;
        public Clamp Clamp;
        public bool IsHalf, IsFinite, IsWide;

        public readonly void Run(int part)
        {
            float* sums = stackalloc float[Lanes];
            for (int g = Parts[part]; g < Parts[part + 1]; g++)
            {
                int step = Groups[g], end = Groups[g + 1];
                if (!IsWide || !IsFinite) Portable(step, end, sums);
                else if (IsHalf) Halves(step, end, sums);
                else Singles(step, end, sums);
                int* order = Order + (g * Lanes);
                for (int lane = 0; lane < Lanes && order[lane] >= 0; lane++)
                {
                    float v = sums[lane];
                    if (Bias != null) v += Bias[order[lane]];
                    Y[order[lane]] = Clamp.IsNone ? v : MathF.Min(MathF.Max(v, Clamp.Low), Clamp.High);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Singles(int step, int end, float* sums)
        {
            Vector512<float> first = Vector512<float>.Zero, second = first;
            ushort* upper = Upper, lower = Lower, advance = Advances + step, last = Advances + end;
            byte* values = Values + ((nint)step * PlacesPerStep * sizeof(float)), places = At(Places, step);
            for (; advance < last; advance++, values += PlacesPerStep * sizeof(float), places += PlacesPerStep)
            {
                Sse.Prefetch0(values + ValuesAhead);
                Sse.Prefetch0(values + ValuesAhead + 64);
                Sse.Prefetch0(places + PlacesAhead);
                nint units = *advance * (nint)Unit;
                upper += units;
                lower += units;
                Inputs(upper, lower, places, out Vector512<float> a, out Vector512<float> b);
                first = Avx512F.FusedMultiplyAdd(a, Vector512.Load((float*)values), first);
                second = Avx512F.FusedMultiplyAdd(b, Vector512.Load((float*)values + Lanes), second);
            }
            (first + second).Store(sums);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Halves(int step, int end, float* sums)
        {
            Vector512<float> first = Vector512<float>.Zero, second = first;
            Vector512<uint> odd = Vector512.Create(0xFFFF0000u);
            ushort* upper = Upper, lower = Lower, advance = Advances + step, last = Advances + end;
            byte* values = Values + ((nint)step * PlacesPerStep * sizeof(ushort)), places = At(Places, step);
            for (; advance < last; advance++, values += PlacesPerStep * sizeof(ushort), places += PlacesPerStep)
            {
                Sse.Prefetch0(values + ValuesAhead);
                Sse.Prefetch0(places + PlacesAhead);
                nint units = *advance * (nint)Unit;
                upper += units;
                lower += units;
                Inputs(upper, lower, places, out Vector512<float> a, out Vector512<float> b);
                Vector512<uint> both = Vector512.Load((uint*)values);
                first = Avx512F.FusedMultiplyAdd(a, (both << 16).AsSingle(), first);
                second = Avx512F.FusedMultiplyAdd(b, (both & odd).AsSingle(), second);
            }
            (first + second).Store(sums);
        }

        /// <summary>The inputs of the first and of the second entries of 16 rows.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Inputs(ushort* upper, ushort* lower, byte* places, out Vector512<float> first, out Vector512<float> second)
        {
            Vector512<ushort> place = Avx512BW.ConvertToVector512UInt16(Vector256.Load(places));
            Vector512<ushort> high = Avx512BW.PermuteVar32x16x2(Vector512.Load(upper), place, Vector512.Load(upper + 32));
            Vector512<ushort> low = Avx512BW.PermuteVar32x16x2(Vector512.Load(lower), place, Vector512.Load(lower + 32));
            first = Avx512BW.UnpackLow(low, high).AsSingle();
            second = Avx512BW.UnpackHigh(low, high).AsSingle();
        }

        // The definition. Zeros of empty places take part like everywhere, unless they would meet an input that is not finite.
        private readonly void Portable(int step, int end, float* sums)
        {
            float* both = stackalloc float[2 * Lanes];
            new Span<float>(both, 2 * Lanes).Clear();
            float* x = X;
            for (; step < end; step++)
            {
                x += Advances[step] * (nint)Unit;
                byte* places = At(Places, step);
                for (int slot = 0; slot < 2; slot++)
                {
                    for (int lane = 0; lane < Lanes; lane++)
                    {
                        byte place = places[PlaceAt(lane, slot)];
                        if (place == Empty && !IsFinite) continue;
                        float* to = both + (slot * Lanes) + lane;
                        *to = MathF.FusedMultiplyAdd(x[place & (Window - 1)], Value(step, lane, slot), *to);
                    }
                }
            }
            for (int lane = 0; lane < Lanes; lane++) sums[lane] = both[lane] + both[Lanes + lane];
        }

        private readonly float Value(int step, int lane, int slot)
        {
            nint before = (nint)step * PlacesPerStep;
            return IsHalf ? CompactEncoding.FromBFloat16(((ushort*)Values)[before + (2 * lane) + slot]) : ((float*)Values)[before + (slot * Lanes) + lane];
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static byte* At(byte* places, int step) => places + ((nint)step * PlacesPerStep);
    }
}
