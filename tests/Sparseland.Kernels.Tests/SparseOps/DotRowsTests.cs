using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps;
using static Sparseland.Kernels.Tests.SparseOps.SparseTesting;

namespace Sparseland.Kernels.Tests.SparseOps;

public unsafe class DotRowsTests
{
    /// <summary>Around every number of registers that a row is held in, and beyond them.</summary>
    public static TheoryData<int> Lengths => [0, 1, 2, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 80, 95, 96, 97, 111, 112, 113, 127, 128, 129, 144, 200, 513];

    [SkippableTheory, MemberData(nameof(Lengths))]
    public void Sums_have_the_bits_of_the_loop_without_registers_and_nothing_behind_a_row_is_read(int length)
    {
        Skip.IfNot(Avx512F.IsSupported, "no AVX-512 here");
        CheckSums<V512>(length);
    }

    [SkippableTheory, MemberData(nameof(Lengths))]
    public void Sums_in_pairs_of_registers_have_the_bits_of_the_loop_and_nothing_behind_a_row_is_read(int length)
    {
        Skip.IfNot(Fma.IsSupported, "no AVX2 here");
        CheckSums<V256>(length);
    }

    [SkippableFact]
    public void Infinities_and_negative_zeros_come_through()
    {
        Skip.IfNot(Avx512F.IsSupported, "no AVX-512 here");
        CheckSpecials<V512>();
    }

    [SkippableFact]
    public void Infinities_and_negative_zeros_come_through_in_pairs_of_registers()
    {
        Skip.IfNot(Fma.IsSupported, "no AVX2 here");
        CheckSpecials<V256>();
    }

    [Theory, InlineData(0), InlineData(1), InlineData(4), InlineData(7), InlineData(22)]
    public void Partial_sums_are_folded_side_by_side_as_one_by_one(int count)
    {
        float[] lanes = Uniform(new Random(count), (count * Lanes.Count) + 1), expected = Uniform(new Random(count + 1), count + 1), sums = [.. expected];
        fixed (float* pl = lanes, ps = sums)
        {
            DotRows.AddFolded(pl, count, ps);
            for (int i = 0; i < count; i++) expected[i] += Lanes.Fold(pl + (i * Lanes.Count));
        }
        Near.BitEqual(expected, sums, $"{count} sums");
    }

    private static void CheckSums<V>(int length) where V : unmanaged, IVector<V>
    {
        const int Rows = 40;
        int stride = length + 3;
        var random = new Random(length);
        float[] a = Uniform(random, stride), b = Uniform(random, Rows * stride);
        // What lies behind a row would spoil every sum.
        for (int i = length; i < stride; i++)
        {
            a[i] = float.NaN;
            for (int r = 0; r < Rows; r++) b[(r * stride) + i] = float.NaN;
        }
        for (int count = 0; count <= 26; count++)
        {
            int[] columns = [.. Enumerable.Range(0, count).Select(_ => random.Next(Rows))];
            float[] expected = Uniform(random, count + 1), sums = [.. expected];
            fixed (float* pa = a, pb = b, pe = expected, ps = sums)
            fixed (int* pc = columns)
            {
                RowKernel.Dots<V1>(pa, pb, pc, count, stride, length, pe);
                DotRows.Add<V>(pa, pb, pc, count, stride, length, ps);
            }
            Near.BitEqual(expected, sums, $"{count} rows of {length}");
        }
    }

    private static void CheckSpecials<V>() where V : unmanaged, IVector<V>
    {
        int* columns = stackalloc int[] { 0, 1, 2 };
        foreach (int length in new[] { 1, 16, 20, 128, 130 })
        {
            float[] a = new float[length], b = new float[3 * length];
            Array.Fill(a, -1f);
            b[0] = float.PositiveInfinity;
            b[length] = float.NaN;
            float[] sums = [0f, 0f, -0f];
            fixed (float* pa = a, pb = b, ps = sums)
            {
                DotRows.Add<V>(pa, pb, columns, 3, length, length, ps);
            }
            Assert.Equal(float.NegativeInfinity, sums[0]);
            Assert.True(float.IsNaN(sums[1]));
            Assert.Equal(0u, BitConverter.SingleToUInt32Bits(sums[2]));
        }
    }
}
