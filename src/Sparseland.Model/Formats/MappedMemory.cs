using System.Buffers;

namespace Sparseland.Model.Formats;

/// <summary>A part of a mapped file as memory that keeps the mapping alive.</summary>
internal sealed unsafe class MappedMemory(MappedFile file, long offset, int length) : MemoryManager<byte>
{
    public override Span<byte> GetSpan()
    {
        ReadOnlySpan<byte> span = file.Span(offset, length);
        fixed (byte* start = span) return new Span<byte>(start, length);
    }

    // The mapping does not move.
    public override MemoryHandle Pin(int elementIndex = 0)
    {
        fixed (byte* start = file.Span(offset, length)) return new MemoryHandle(start + elementIndex, pinnable: this);
    }

    public override void Unpin() => GC.KeepAlive(file);

    protected override void Dispose(bool disposing)
    {
    }
}
