using System.Buffers;
using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Sparse;

namespace Sparseland.Kernels.Tests.Dense;

public unsafe class LineMemoryTests
{
    [Theory, InlineData(0), InlineData(1), InlineData(63), InlineData(5000), InlineData(300_000)]
    public void Begins_with_a_line_and_holds_zeros_or_a_copy(int count)
    {
        Memory<byte> bytes = LineMemory.Allocate<byte>(count);
        Assert.Equal(count, bytes.Length);
        Assert.False(bytes.Span.ContainsAnyExcept((byte)0));
        Memory<long> copy = LineMemory.Copy<long>(Enumerable.Range(0, count).Select(i => (long)i).ToArray());
        Assert.True(copy.ToArray().Select((v, i) => v == i).All(equal => equal));
        using MemoryHandle first = bytes.Pin(), second = copy.Pin();
        if (count == 0) return;
        Assert.Equal(0, (nint)first.Pointer % LineMemory.Line);
        Assert.Equal(0, (nint)second.Pointer % LineMemory.Line);
    }

    [Theory, InlineData(1), InlineData(1023), InlineData(100_000)]
    public void Begins_where_it_is_asked_to(int count)
    {
        foreach (int alignment in (int[])[64, 128, 4096])
        {
            Memory<float> values = LineMemory.Allocate<float>(count, alignment);
            using MemoryHandle first = values.Pin();
            Assert.Equal(0, (nint)first.Pointer % alignment);
            Assert.Equal(count, values.Length);
            Assert.False(values.Span.ContainsAnyExcept(0f));
        }
    }

    [Fact]
    public void Elements_that_cannot_begin_with_a_line_are_refused()
    {
        Assert.Throws<NotSupportedException>(() => LineMemory.Allocate<decimal>(4));
        Assert.Throws<ArgumentOutOfRangeException>(() => LineMemory.Allocate<float>(-1));
    }

    [Fact]
    public void Values_of_compact_matrices_begin_with_a_line()
    {
        float[] dense = [.. Enumerable.Range(0, 70 * 130).Select(i => i % 3 == 0 ? 0f : i % 7 - 3.5f)];
        foreach (ValueKind kind in Enum.GetValues<ValueKind>())
        {
            CompactMatrix masked = CompactMatrix.FromMask(Mask.FromNonZeros([70, 130], dense), dense, 70, 130, kind);
            foreach (CompactMatrix matrix in (CompactMatrix[])[CompactMatrix.FromDense(dense, 70, 130, kind), masked, masked.WithoutMask()])
            {
                using MemoryHandle values = matrix.Values.Pin();
                Assert.Equal(0, (nint)values.Pointer % LineMemory.Line);
            }
        }
    }
}
