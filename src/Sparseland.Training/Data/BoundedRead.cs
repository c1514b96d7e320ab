using System.Buffers.Binary;

namespace Sparseland.Training.Data;

/// <summary>Reads from streams whose announced lengths may lie.</summary>
internal static class BoundedRead
{
    /// <summary>Reads exactly <paramref name="length"/> bytes; memory grows with what really arrives, so that a lying header costs nothing.</summary>
    public static byte[] Exactly(Stream stream, long length, long limit, string where)
    {
        if (length < 0 || length > limit) throw DataException.TooLarge(where, $"the header announces {length:N0} bytes; the limit is {limit:N0}");
        byte[] buffer = new byte[(int)Math.Min(length, 1 << 20)];
        int filled = 0;
        while (true)
        {
            int got = Read(stream, buffer.AsSpan(filled), where);
            filled += got;
            if (filled == length) return buffer;
            if (got == 0) throw DataException.Damaged(where, $"the file ends after {filled:N0} of {length:N0} bytes");
            if (filled == buffer.Length) Array.Resize(ref buffer, (int)Math.Min(length, buffer.Length * 2L));
        }
    }

    /// <summary>Reads to the end of a stream that must not be longer than <paramref name="limit"/>.</summary>
    public static byte[] ToEnd(Stream stream, long limit, string where)
    {
        using var memory = new MemoryStream();
        byte[] buffer = new byte[1 << 16];
        int got;
        while ((got = Read(stream, buffer, where)) > 0)
        {
            if (memory.Length + got > limit) throw DataException.TooLarge(where, $"more than {limit:N0} bytes of data");
            memory.Write(buffer, 0, got);
        }
        return memory.ToArray();
    }

    public static void ExpectEnd(Stream stream, string where)
    {
        Span<byte> one = stackalloc byte[1];
        if (Read(stream, one, where) != 0) throw DataException.Damaged(where, "there is data after the announced end");
    }

    public static uint BigEndian(ReadOnlySpan<byte> bytes) => BinaryPrimitives.ReadUInt32BigEndian(bytes);

    private static int Read(Stream stream, Span<byte> buffer, string where)
    {
        try
        {
            return stream.Read(buffer);
        }
        catch (InvalidDataException e)
        {
            throw DataException.Damaged(where, "the compressed data is damaged", e);
        }
    }
}
