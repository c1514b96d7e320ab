using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Sparseland.Training.Data.Pictures;

/// <summary>Writes pictures as PNG: mask pictures for reports, samples of data sets.</summary>
public static class PngWriter
{
    /// <summary>Encodes a picture without losing anything.</summary>
    public static byte[] Encode(Picture picture)
    {
        ArgumentNullException.ThrowIfNull(picture);
        int wide = picture.MaxValue == 255 ? 1 : 2, row = picture.Width * picture.Channels * wide;
        using var file = new MemoryStream();
        file.Write([137, 80, 78, 71, 13, 10, 26, 10]);
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, picture.Width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), picture.Height);
        header[8] = (byte)(wide * 8);
        header[9] = picture.Channels switch { 1 => 0, 2 => 4, 3 => 2, _ => 6 };
        Chunk(file, "IHDR", header);
        using var data = new MemoryStream();
        using (var zlib = new ZLibStream(data, CompressionLevel.Optimal, leaveOpen: true))
        {
            byte[] line = new byte[row + 1], last = new byte[row + 1];
            for (int y = 0; y < picture.Height; y++)
            {
                for (int i = 0; i < picture.Width * picture.Channels; i++)
                {
                    ushort v = picture.Samples[y * picture.Width * picture.Channels + i];
                    if (wide == 1)
                    {
                        line[i + 1] = (byte)v;
                    }
                    else
                    {
                        BinaryPrimitives.WriteUInt16BigEndian(line.AsSpan(1 + 2 * i), v);
                    }
                }
                zlib.WriteByte(2);
                for (int i = 1; i <= row; i++) zlib.WriteByte((byte)(line[i] - last[i]));
                (line, last) = (last, line);
            }
        }
        Chunk(file, "IDAT", data.ToArray());
        Chunk(file, "IEND", []);
        return file.ToArray();
    }

    private static void Chunk(MemoryStream file, string name, ReadOnlySpan<byte> body)
    {
        byte[] chunk = new byte[body.Length + 12];
        BinaryPrimitives.WriteInt32BigEndian(chunk, body.Length);
        Encoding.ASCII.GetBytes(name, chunk.AsSpan(4));
        body.CopyTo(chunk.AsSpan(8));
        BinaryPrimitives.WriteUInt32BigEndian(chunk.AsSpan(8 + body.Length), Crc32.Of(chunk.AsSpan(4, body.Length + 4)));
        file.Write(chunk);
    }
}
