using System.Buffers.Binary;
using System.IO.Compression;

namespace Sparseland.Training.Data.Pictures;

/// <summary>Reads PNG files: all colour types, bit depths 1 to 16, interlace, palettes and transparency.</summary>
/// <remarks>
/// Follows the W3C recommendation "Portable Network Graphics (PNG) Specification (Third Edition)". Checksums are verified, unknown critical
/// chunks refused, ancillary chunks other than tRNS skipped. Gamma and colour profiles are not applied: networks are trained on stored values.
/// Memory is bounded by the announced size, which is checked first, and grows with data that really arrives.
/// </remarks>
public static class PngReader
{
    /// <summary>Largest number of pixels that is decoded unless the caller says otherwise: 64 million.</summary>
    public const long DefaultMaxPixels = 64 << 20;

    private static ReadOnlySpan<byte> Signature => [137, 80, 78, 71, 13, 10, 26, 10];

    /// <summary>Reads a file.</summary>
    /// <exception cref="DataException">The file is damaged, no PNG, or larger than allowed.</exception>
    public static Picture Read(string path, long maxPixels = DefaultMaxPixels)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var info = new FileInfo(path);
        if (info.Length > int.MaxValue) throw DataException.TooLarge(path, "PNG files above 2 GiB are not read");
        return Decode(File.ReadAllBytes(path), path, maxPixels);
    }

    /// <summary>Reads only the size: (width, height, channels).</summary>
    /// <exception cref="DataException">The file does not start like a PNG.</exception>
    public static (int Width, int Height, int Channels) ReadSize(string path)
    {
        using FileStream file = File.OpenRead(path);
        byte[] start = BoundedRead.Exactly(file, 33, 33, path);
        Header header = ReadHeader(start, path, long.MaxValue);
        return (header.Width, header.Height, header.ColourType switch { 0 => 1, 4 => 2, 6 => 4, _ => 3 });
    }

    /// <summary>Decodes a PNG in memory.</summary>
    /// <param name="png">The file's bytes.</param>
    /// <param name="where">What errors call it.</param>
    /// <param name="maxPixels">Largest number of pixels.</param>
    /// <exception cref="DataException">The data is damaged, no PNG, or larger than allowed.</exception>
    public static Picture Decode(byte[] png, string where = "PNG data", long maxPixels = DefaultMaxPixels)
    {
        ArgumentNullException.ThrowIfNull(png);
        Header header = ReadHeader(png, where, maxPixels);
        byte[]? palette = null, transparency = null;
        using var data = new MemoryStream();
        bool ended = false, dataEnded = false;
        int at = 33;
        while (!ended)
        {
            (string type, int start, int length) = ReadChunk(png, ref at, where);
            ReadOnlySpan<byte> body = png.AsSpan(start, length);
            if (type != "IDAT" && data.Length > 0) dataEnded = true;
            switch (type)
            {
                case "PLTE":
                    if (palette is not null || data.Length > 0 || length % 3 != 0 || length is 0 or > 768 || header.ColourType is 0 or 4)
                        throw DataException.Damaged(where, "the palette is misplaced or has a wrong length");
                    palette = body.ToArray();
                    break;
                case "tRNS":
                    int expected = header.ColourType switch { 0 => 2, 2 => 6, 3 => -1, _ => throw DataException.Damaged(where, "transparency beside an alpha channel") };
                    if (data.Length > 0 || (expected >= 0 ? length != expected : palette is null || length > palette.Length / 3))
                        throw DataException.Damaged(where, "the transparency chunk is misplaced or has a wrong length");
                    transparency = body.ToArray();
                    break;
                case "IDAT":
                    if (dataEnded) throw DataException.Damaged(where, "the image data is interrupted by another chunk");
                    data.Write(body);
                    break;
                case "IEND":
                    if (length != 0) throw DataException.Damaged(where, "the end chunk is not empty");
                    ended = true;
                    break;
                default:
                    if ((type[0] & 0x20) == 0) throw DataException.Damaged(where, $"unknown critical chunk '{type}'");
                    break;
            }
        }
        if (header.ColourType == 3 && palette is null) throw DataException.Damaged(where, "a picture with a palette has none");
        if (data.Length == 0) throw DataException.Damaged(where, "there is no image data");
        byte[] raw = Inflate(data, RawLength(header), where);
        return Unpack(header, raw, palette, transparency, where);
    }

    private readonly record struct Header(int Width, int Height, int Depth, int ColourType, bool Interlaced)
    {
        public int Samples => ColourType switch { 2 => 3, 4 => 2, 6 => 4, _ => 1 };

        public int BitsPerPixel => Samples * Depth;

        public long RowBytes(int width) => ((long)width * BitsPerPixel + 7) / 8;
    }

    private static Header ReadHeader(ReadOnlySpan<byte> png, string where, long maxPixels)
    {
        if (png.Length < 8 || !png[..8].SequenceEqual(Signature)) throw DataException.Damaged(where, "this is no PNG file (wrong signature)");
        int at = 8;
        (string type, int start, int length) = ReadChunk(png, ref at, where);
        if (type != "IHDR" || length != 13) throw DataException.Damaged(where, "the file does not start with a header chunk");
        ReadOnlySpan<byte> body = png.Slice(start, 13);
        uint width = BoundedRead.BigEndian(body), height = BoundedRead.BigEndian(body[4..]);
        if (width is 0 or > int.MaxValue || height is 0 or > int.MaxValue) throw DataException.Damaged(where, $"a picture of {width} x {height} pixels");
        if ((long)width * height > maxPixels) throw DataException.TooLarge(where, $"{width} x {height} pixels; the limit is {maxPixels:N0}");
        int depth = body[8], colour = body[9];
        bool known = colour switch { 0 => depth is 1 or 2 or 4 or 8 or 16, 3 => depth is 1 or 2 or 4 or 8, 2 or 4 or 6 => depth is 8 or 16, _ => false };
        if (!known) throw DataException.Damaged(where, $"colour type {colour} with {depth} bits does not exist");
        if (body[10] != 0 || body[11] != 0 || body[12] > 1) throw DataException.Damaged(where, "unknown compression, filter or interlace method");
        return new Header((int)width, (int)height, depth, colour, body[12] == 1);
    }

    private static (string Type, int Start, int Length) ReadChunk(ReadOnlySpan<byte> png, ref int at, string where)
    {
        if (png.Length - at < 12) throw DataException.Damaged(where, "the file ends in the middle of a chunk");
        uint length = BoundedRead.BigEndian(png[at..]);
        if (length > (uint)(png.Length - at - 12)) throw DataException.Damaged(where, $"a chunk announces {length:N0} bytes; {png.Length - at - 12:N0} are left");
        ReadOnlySpan<byte> name = png.Slice(at + 4, 4);
        foreach (byte b in name)
        {
            if (!char.IsAsciiLetter((char)b)) throw DataException.Damaged(where, "a chunk's name is not made of letters");
        }
        int start = at + 8;
        uint expected = BoundedRead.BigEndian(png[(start + (int)length)..]);
        if (Crc32.Of(png.Slice(at + 4, (int)length + 4)) != expected) throw DataException.Damaged(where, $"the checksum of chunk '{System.Text.Encoding.ASCII.GetString(name)}' is wrong");
        at = start + (int)length + 4;
        return (System.Text.Encoding.ASCII.GetString(name), start, (int)length);
    }

    private static readonly (int X, int Y, int Dx, int Dy)[] s_passes =
        [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];

    private static IEnumerable<(int X, int Y, int Dx, int Dy, int Width, int Height)> Passes(Header h)
    {
        if (!h.Interlaced)
        {
            yield return (0, 0, 1, 1, h.Width, h.Height);
            yield break;
        }
        foreach ((int x, int y, int dx, int dy) in s_passes)
        {
            int width = (h.Width - x + dx - 1) / dx, height = (h.Height - y + dy - 1) / dy;
            if (width > 0 && height > 0) yield return (x, y, dx, dy, width, height);
        }
    }

    private static long RawLength(Header h) => Passes(h).Sum(p => p.Height * (h.RowBytes(p.Width) + 1));

    private static byte[] Inflate(MemoryStream data, long length, string where)
    {
        data.Position = 0;
        using var zlib = new ZLibStream(data, CompressionMode.Decompress);
        // Read in growing steps: a header that promises a large picture over little data ends early.
        byte[] raw = BoundedRead.Exactly(zlib, length, Array.MaxLength, where);
        BoundedRead.ExpectEnd(zlib, where);
        return raw;
    }

    private static Picture Unpack(Header h, byte[] raw, byte[]? palette, byte[]? transparency, string where)
    {
        int colours = h.ColourType switch { 3 => 3, _ => h.Samples };
        bool addAlpha = transparency is not null;
        int channels = colours + (addAlpha ? 1 : 0), max = h.Depth == 16 ? 65535 : 255;
        if ((long)h.Width * h.Height * channels > Array.MaxLength) throw DataException.TooLarge(where, $"{h.Width} x {h.Height} pixels of {channels} channels");
        var samples = new ushort[h.Width * h.Height * channels];
        // Depths below 8 spread to 0..255: 255 is divisible by 1, 3 and 15.
        int stretch = h.ColourType == 3 || h.Depth >= 8 ? 1 : 255 / ((1 << h.Depth) - 1);
        int step = Math.Max(1, h.BitsPerPixel / 8), at = 0;
        Span<int> pixel = stackalloc int[4];
        Span<int> key = stackalloc int[3];
        if (transparency is not null && h.ColourType != 3)
        {
            for (int c = 0; c < h.Samples; c++) key[c] = BinaryPrimitives.ReadUInt16BigEndian(transparency.AsSpan(2 * c));
        }
        foreach ((int x0, int y0, int dx, int dy, int width, int height) in Passes(h))
        {
            int rowBytes = (int)h.RowBytes(width);
            byte[] zero = new byte[rowBytes];
            ReadOnlySpan<byte> above = zero;
            for (int row = 0; row < height; row++)
            {
                int filter = raw[at];
                Span<byte> line = raw.AsSpan(at + 1, rowBytes);
                at += rowBytes + 1;
                Unfilter(filter, line, above, step, where);
                above = line;
                int to = ((y0 + row * dy) * h.Width + x0) * channels;
                for (int x = 0; x < width; x++, to += dx * channels)
                {
                    for (int s = 0; s < h.Samples; s++) pixel[s] = Sample(line, x * h.Samples + s, h.Depth);
                    if (h.ColourType == 3)
                    {
                        int entry = pixel[0];
                        if (entry * 3 >= palette!.Length) throw DataException.Damaged(where, $"pixel value {entry} is not in the palette of {palette.Length / 3}");
                        for (int c = 0; c < 3; c++) samples[to + c] = palette[entry * 3 + c];
                        if (addAlpha) samples[to + 3] = entry < transparency!.Length ? transparency[entry] : (ushort)255;
                        continue;
                    }
                    bool isKey = addAlpha;
                    for (int s = 0; s < h.Samples; s++)
                    {
                        samples[to + s] = (ushort)(pixel[s] * stretch);
                        if (addAlpha && pixel[s] != key[s]) isKey = false;
                    }
                    if (addAlpha) samples[to + h.Samples] = isKey ? (ushort)0 : (ushort)max;
                }
            }
        }
        return new Picture(h.Width, h.Height, channels, max, samples);
    }

    private static int Sample(ReadOnlySpan<byte> line, int index, int depth) => depth switch
    {
        8 => line[index],
        16 => line[2 * index] << 8 | line[2 * index + 1],
        _ => line[index * depth >> 3] >> (8 - depth - (index * depth & 7)) & ((1 << depth) - 1),
    };

    private static void Unfilter(int filter, Span<byte> line, ReadOnlySpan<byte> above, int step, string where)
    {
        switch (filter)
        {
            case 0:
                return;
            case 1:
                for (int i = step; i < line.Length; i++) line[i] += line[i - step];
                return;
            case 2:
                for (int i = 0; i < line.Length; i++) line[i] += above[i];
                return;
            case 3:
                for (int i = 0; i < line.Length; i++) line[i] += (byte)((above[i] + (i >= step ? line[i - step] : 0)) / 2);
                return;
            case 4:
                for (int i = 0; i < line.Length; i++)
                    line[i] += i >= step ? Paeth(line[i - step], above[i], above[i - step]) : above[i];
                return;
            default:
                throw DataException.Damaged(where, $"unknown row filter {filter}");
        }
    }

    private static byte Paeth(int left, int up, int upLeft)
    {
        int p = left + up - upLeft, a = Math.Abs(p - left), b = Math.Abs(p - up), c = Math.Abs(p - upLeft);
        return (byte)(a <= b && a <= c ? left : b <= c ? up : upLeft);
    }
}
