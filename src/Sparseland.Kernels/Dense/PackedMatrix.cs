using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sparseland.Kernels.Simd;

namespace Sparseland.Kernels.Dense;

/// <summary>An operand of a matrix product that is packed once into the order in which the kernel reads it.</summary>
/// <remarks>
/// The layout belongs to the instruction level of this process; keep the original to store or to move it. Holds
/// rows x columns floats, rounded up to whole panels. Immutable and safe to use from several threads.
/// </remarks>
public sealed unsafe class PackedMatrix
{
    private readonly float[] _values;
    private readonly int _start;

    private PackedMatrix(bool isLeft, int rows, int columns, SimdLevel level, long length)
    {
        IsLeft = isLeft;
        Rows = rows;
        Columns = columns;
        Level = level;
        // Pinned, so that the start can be aligned to a cache line once and for all.
        _values = GC.AllocateUninitializedArray<float>(checked((int)(length + 16 + 32)), pinned: true);
        // Before it is written, so that nothing has to be moved.
        LargePages.Ask<float>(_values);
        nint address = (nint)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_values));
        _start = (int)(((64 - (address & 63)) & 63) / sizeof(float));
    }

    /// <summary>True for a left operand A [m, k], false for a right operand B [k, n].</summary>
    public bool IsLeft { get; }

    /// <summary>Rows of the operand as it enters the product (m or k).</summary>
    public int Rows { get; }

    /// <summary>Columns of the operand as it enters the product (k or n).</summary>
    public int Columns { get; }

    /// <summary>Bytes of the packed values.</summary>
    public long Bytes => (long)_values.Length * sizeof(float);

    /// <summary>The level whose panels these are.</summary>
    internal SimdLevel Level { get; }

    /// <summary>The first panel; valid while this object is alive.</summary>
    internal float* Pointer => (float*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_values)) + _start;

    /// <summary>Packs the left operand op(a) [m, k].</summary>
    /// <param name="transposed">Whether <paramref name="a"/> is stored [k, m].</param>
    /// <param name="m">Rows of op(a), at least 0.</param>
    /// <param name="k">Columns of op(a), at least 0.</param>
    /// <param name="a">The values, row-major.</param>
    /// <param name="lda">Distance of rows in <paramref name="a"/>.</param>
    /// <exception cref="ArgumentException">A size is negative, or the span is too short.</exception>
    public static PackedMatrix Left(bool transposed, int m, int k, ReadOnlySpan<float> a, int lda)
    {
        Gemm.Check(a.Length, transposed ? k : m, transposed ? m : k, lda, nameof(a));
        return Create(true, transposed, m, k, a, lda);
    }

    /// <summary>Columns of a panel of a right operand at the calling thread's instruction level: a product computes whole panels.</summary>
    public static int RightPanel
    {
        get
        {
            int columns = 0;
            SimdDispatch.Run(new WidthWork { Columns = &columns });
            return columns;
        }
    }

    /// <summary>Packs the right operand op(b) [k, n]. For a linear layer x W^T with W [out, in]: transposed, k = in, n = out.</summary>
    /// <param name="transposed">Whether <paramref name="b"/> is stored [n, k].</param>
    /// <param name="k">Rows of op(b), at least 0.</param>
    /// <param name="n">Columns of op(b), at least 0.</param>
    /// <param name="b">The values, row-major.</param>
    /// <param name="ldb">Distance of rows in <paramref name="b"/>.</param>
    /// <exception cref="ArgumentException">A size is negative, or the span is too short.</exception>
    public static PackedMatrix Right(bool transposed, int k, int n, ReadOnlySpan<float> b, int ldb)
    {
        Gemm.Check(b.Length, transposed ? n : k, transposed ? k : n, ldb, nameof(b));
        return Create(false, transposed, k, n, b, ldb);
    }

    private static PackedMatrix Create(bool left, bool transposed, int rows, int columns, ReadOnlySpan<float> source, int ld)
    {
        fixed (float* p = source)
        {
            var pack = new PackWork { IsLeft = left, Transposed = transposed, Rows = rows, Columns = columns, Source = p, Ld = ld, Result = new PackedMatrix?[1] };
            SimdDispatch.Run(pack);
            return pack.Result[0]!;
        }
    }

    private struct WidthWork : ILevelWork
    {
        public int* Columns;

        public readonly void Run<V>() where V : unmanaged, IVector<V> => *Columns = MicroKernel.Columns<V>();
    }

    private struct PackWork : ILevelWork
    {
        public bool IsLeft, Transposed;
        public int Rows, Columns;
        public float* Source;
        public nint Ld;
        public PackedMatrix?[] Result;

        public readonly void Run<V>() where V : unmanaged, IVector<V>
        {
            int panel = IsLeft ? MicroKernel.Rows<V>() : MicroKernel.Columns<V>();
            int outer = IsLeft ? Rows : Columns, depth = IsLeft ? Columns : Rows;
            long padded = ((long)outer + panel - 1) / panel * panel;
            var packed = new PackedMatrix(IsLeft, Rows, Columns, SimdDispatch.Level, padded * depth);
            float* to = packed.Pointer;
            int block = Packing.BlockLength(depth);
            for (int k0 = 0; k0 < depth; k0 += block)
            {
                int k = Math.Min(block, depth - k0);
                for (int i = 0; i < outer; i += panel)
                {
                    int count = Math.Min(panel, outer - i);
                    bool rowsAreOuter = IsLeft != Transposed;
                    float* from = rowsAreOuter ? Source + (i * Ld) + k0 : Source + (k0 * Ld) + i;
                    if (IsLeft) Packing.Left(Transposed, from, Ld, count, k, panel, 1f, to);
                    else Packing.Right(Transposed, from, Ld, k, count, panel, to);
                    to += (nint)panel * k;
                }
            }
            Result[0] = packed;
        }
    }
}
