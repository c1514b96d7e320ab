using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Sparse;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <summary>A sparse matrix prepared for products with one vector that fits the caches: y [rows] = clamp(w x [columns] + bias).</summary>
/// <remarks>
/// <para>16 rows lie side by side in the lanes of a register. A step takes the next entry of every row that has one in a window of 32 inputs: the window is two registers,
/// and one permutation brings each lane its input. No gather, no fold at the end of a row, no jump but the end of 16 rows. Windows start at multiples of 16, so that no load
/// crosses a cache line; lanes without an entry in the window hold a zero. At 10 % density 62 % of the lanes are filled, at 30 % 84 %; a step takes 84 bytes. Rows are taken in the order of their
/// number of entries, which keeps the 16 alike.</para>
/// <para>As sliced ELLPACK (Monakov et al., 2010; sorted by length: Kreutzer et al., "SELL-C-sigma", 2014), with windows in place of gathers.</para>
/// <para>Each row keeps two sums, of even and of odd steps. Bits are the same on every instruction set and for every number of threads; stored entries alone take
/// part. Where there is no AVX-512 compressed rows are faster (<see cref="SpMV"/>).</para>
/// </remarks>
public sealed unsafe class PreparedSpMV
{
    private const int Lanes = 16, Window = 32;

    // Marks a lane without an entry; permutations read the lowest five bits only.
    private const byte Empty = 0x80;

    private const int StepsPerPart = 512, MostParts = 32;

    private readonly float[] _values;
    private readonly byte[] _places;

    // Bytes from the input's begin to each step's window.
    private readonly int[] _windows;
    private readonly int[] _groups;

    // The row of each lane; -1 behind the last.
    private readonly int[] _order;
    private readonly int[] _parts;

    /// <summary>Prepares a matrix; it is copied.</summary>
    public PreparedSpMV(CsrMatrix weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        (Rows, Columns, StoredCount) = (weight.Rows, weight.Columns, weight.StoredCount);
        int groups = (Rows + Lanes - 1) / Lanes;
        ReadOnlySpan<int> columns = weight.ColumnIndices;
        ReadOnlySpan<float> values = weight.Values;
        _order = SortedRows(weight, groups * Lanes);
        _groups = new int[groups + 1];
        var windows = new List<int>();
        var places = new List<byte>();
        var packed = new List<float>();
        Span<int> next = stackalloc int[Lanes], end = stackalloc int[Lanes];
        for (int g = 0; g < groups; g++)
        {
            Begin(weight, _order.AsSpan(g * Lanes, Lanes), next, end);
            for (int first = NextWindow(columns, next, end); first >= 0; first = NextWindow(columns, next, end))
            {
                windows.Add(checked(first * sizeof(float)));
                for (int lane = 0; lane < Lanes; lane++)
                {
                    int j = next[lane];
                    bool has = j < end[lane] && columns[j] - first < Window;
                    places.Add(has ? (byte)(columns[j] - first) : Empty);
                    packed.Add(has ? values[j] : 0f);
                    if (has) next[lane]++;
                }
            }
            _groups[g + 1] = windows.Count;
        }
        _windows = [.. windows];
        _places = [.. places];
        _values = GC.AllocateUninitializedArray<float>(packed.Count + Lanes, pinned: true);
        CollectionsMarshal.AsSpan(packed).CopyTo(_values.AsSpan(Aligned(_values)));
        _parts = Partition(_groups);
    }

    /// <summary>Rows of the matrix.</summary>
    public int Rows { get; }

    /// <summary>Columns of the matrix.</summary>
    public int Columns { get; }

    /// <summary>Stored entries.</summary>
    public int StoredCount { get; }

    /// <summary>Steps of a product, each of 16 lanes: <see cref="CountSteps"/>.</summary>
    public long Steps => _windows.Length;

    /// <summary>Bytes that a product reads of the matrix.</summary>
    public long Bytes => (long)_windows.Length * (Lanes * (sizeof(float) + 1) + sizeof(int));

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
        using Scratch.Buffer input = Scratch.Rent(Columns + Window + Lanes);
        bool finite = CopyInput(x, input.Pointer);
        fixed (float* values = _values, py = y, pb = bias)
        fixed (byte* places = _places)
        fixed (int* windows = _windows, groups = _groups, order = _order, parts = _parts)
        {
            WorkPool.Run(_parts.Length - 1, new GroupParts
            {
                Values = values + Aligned(_values),
                Places = places,
                Windows = windows,
                Groups = groups,
                Order = order,
                Parts = parts,
                X = input.Pointer,
                Y = py,
                Bias = pb,
                Clamp = activation,
                IsFinite = finite,
                IsWide = SimdDispatch.Level == SimdLevel.Vector512 && Avx512F.IsSupported,
            });
        }
    }

    /// <summary>How many steps a product with a matrix would take, without preparing it.</summary>
    public static long CountSteps(CsrMatrix weight)
    {
        ArgumentNullException.ThrowIfNull(weight);
        int groups = (weight.Rows + Lanes - 1) / Lanes;
        int[] order = SortedRows(weight, groups * Lanes);
        ReadOnlySpan<int> columns = weight.ColumnIndices;
        Span<int> next = stackalloc int[Lanes], end = stackalloc int[Lanes];
        long steps = 0;
        for (int g = 0; g < groups; g++)
        {
            Begin(weight, order.AsSpan(g * Lanes, Lanes), next, end);
            for (int first = NextWindow(columns, next, end); first >= 0; first = NextWindow(columns, next, end))
            {
                steps++;
                for (int lane = 0; lane < Lanes; lane++)
                {
                    if (next[lane] < end[lane] && columns[next[lane]] - first < Window) next[lane]++;
                }
            }
        }
        return steps;
    }

    // The entries of 16 rows, from the first on.
    private static void Begin(CsrMatrix weight, ReadOnlySpan<int> order, Span<int> next, Span<int> end)
    {
        for (int lane = 0; lane < Lanes; lane++) (next[lane], end[lane]) = order[lane] < 0 ? (0, 0) : (weight.RowPointers[order[lane]], weight.RowPointers[order[lane] + 1]);
    }

    // Where the window of the next step begins; -1 behind the last entry.
    private static int NextWindow(ReadOnlySpan<int> columns, ReadOnlySpan<int> next, ReadOnlySpan<int> end)
    {
        int first = int.MaxValue;
        for (int lane = 0; lane < Lanes; lane++)
        {
            if (next[lane] < end[lane]) first = Math.Min(first, columns[next[lane]]);
        }
        return first == int.MaxValue ? -1 : first - first % Lanes;
    }

    // Whether every number is finite; zeros behind the end.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static bool CopyInput(ReadOnlySpan<float> x, float* to)
    {
        x.CopyTo(new Span<float>(to, x.Length));
        new Span<float>(to + x.Length, Window + Lanes).Clear();
        Vector256<int> exponent = Vector256.Create(0x7F800000), infinite = Vector256<int>.Zero;
        for (int i = 0; i < x.Length; i += 8) infinite |= Vector256.Equals(Vector256.Load((int*)to + i) & exponent, exponent);
        return infinite == Vector256<int>.Zero;
    }

    private static int Aligned(float[] pinned)
    {
        nint address = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(pinned));
        return (int)(((64 - (address & 63)) & 63) / sizeof(float));
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

    private struct GroupParts : IParts
    {
        public float* Values, X, Y, Bias;
        public byte* Places;
        public int* Windows, Groups, Order, Parts;
        public Clamp Clamp;
        public bool IsFinite, IsWide;

        public readonly void Run(int part)
        {
            float* sums = stackalloc float[Lanes];
            for (int g = Parts[part]; g < Parts[part + 1]; g++)
            {
                if (IsWide && IsFinite) Wide(Groups[g], Groups[g + 1], sums);
                else Portable(Groups[g], Groups[g + 1], sums);
                int* order = Order + g * Lanes;
                for (int lane = 0; lane < Lanes && order[lane] >= 0; lane++)
                {
                    float v = sums[lane];
                    if (Bias != null) v += Bias[order[lane]];
                    Y[order[lane]] = Clamp.IsNone ? v : MathF.Min(MathF.Max(v, Clamp.Low), Clamp.High);
                }
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private readonly void Wide(int step, int end, float* sums)
        {
            Vector512<float> even = Vector512<float>.Zero, odd = even;
            byte* x = (byte*)X;
            int* window = Windows + step, last = Windows + end;
            float* values = Values + (nint)step * Lanes;
            byte* places = Places + (nint)step * Lanes;
            for (; window + 1 < last; window += 2, values += 2 * Lanes, places += 2 * Lanes)
            {
                even = Step(x + window[0], places, values, even);
                odd = Step(x + window[1], places + Lanes, values + Lanes, odd);
            }
            if (window < last) even = Step(x + window[0], places, values, even);
            (even + odd).Store(sums);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static Vector512<float> Step(byte* window, byte* places, float* values, Vector512<float> sum)
        {
            Vector512<int> place = Avx512F.ConvertToVector512Int32(Vector128.Load(places));
            Vector512<float> x = Avx512F.PermuteVar16x32x2(Vector512.Load((float*)window), place, Vector512.Load((float*)window + Lanes));
            return Avx512F.FusedMultiplyAdd(x, Vector512.Load(values), sum);
        }

        // The definition. Zeros of empty lanes take part like everywhere, unless they would meet an input that is not finite.
        private readonly void Portable(int step, int end, float* sums)
        {
            float* both = stackalloc float[2 * Lanes];
            new Span<float>(both, 2 * Lanes).Clear();
            for (int first = step; step < end; step++)
            {
                float* x = X + Windows[step] / sizeof(float), to = both + ((step - first) & 1) * Lanes;
                for (int lane = 0; lane < Lanes; lane++)
                {
                    byte place = Places[(nint)step * Lanes + lane];
                    if (place == Empty && !IsFinite) continue;
                    to[lane] = MathF.FusedMultiplyAdd(x[place & (Window - 1)], Values[(nint)step * Lanes + lane], to[lane]);
                }
            }
            for (int lane = 0; lane < Lanes; lane++) sums[lane] = both[lane] + both[Lanes + lane];
        }
    }
}
