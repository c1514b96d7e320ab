using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Sparseland.Model.Formats.Zip;

/// <summary>One file in a zip archive.</summary>
/// <param name="Name">Path inside the archive, forward slashes.</param>
/// <param name="Method">0 stored, 8 deflated.</param>
/// <param name="Crc">CRC-32 of the contents.</param>
/// <param name="Offset">Where its bytes begin in the file.</param>
/// <param name="CompressedLength">Bytes in the file.</param>
/// <param name="Length">Bytes of the contents.</param>
internal sealed record ZipItem(string Name, int Method, uint Crc, long Offset, long CompressedLength, long Length);

/// <summary>The directory of a zip archive, for containers of tensors (.npz, .pt).</summary>
/// <remarks>
/// Written here because lazily mapped tensors need the place of stored entries, and because every length has to be
/// checked before use: ranges inside the file, no two entries over the same bytes, no size that deflate cannot reach
/// (PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3 for zip64).
/// </remarks>
internal sealed class ZipDirectory
{
    private const int MaxEntries = 1 << 20;

    /// <summary>An entry that grows more than this is refused once it is larger than <see cref="FreeLength"/>.</summary>
    internal const int MaxRatio = 200;

    /// <summary>Any ratio up to deflate's own bound is allowed for entries up to this many bytes.</summary>
    internal const long FreeLength = 64L << 20;

    private readonly MappedFile _file;
    private readonly string _code;

    private ZipDirectory(MappedFile file, string code)
    {
        _file = file;
        _code = code;
    }

    /// <summary>The entries by name.</summary>
    internal OrderedDictionary<string, ZipItem> Items { get; } = new(StringComparer.Ordinal);

    internal static bool LooksLikeZip(ReadOnlySpan<byte> head) =>
        head.Length >= 4 && head[0] == 'P' && head[1] == 'K' && (head[2], head[3]) is (3, 4) or (5, 6);

    /// <summary>Reads and checks the directory.</summary>
    /// <exception cref="ModelFormatException">With <paramref name="code"/>: damaged or hostile.</exception>
    internal static ZipDirectory Read(MappedFile file, string code)
    {
        var zip = new ZipDirectory(file, code);
        zip.ReadDirectory();
        zip.RequireDisjoint();
        return zip;
    }

    /// <summary>The contents of an entry, checksum verified.</summary>
    internal byte[] ReadAll(ZipItem item)
    {
        if (item.Length > Array.MaxLength) throw Error($"entry '{item.Name}' is too large to be read at once ({item.Length} bytes)");
        var contents = new byte[item.Length];
        ReadInto(item, contents);
        return contents;
    }

    /// <summary>Reads all contents of an entry into a buffer of exactly its length.</summary>
    internal void ReadInto(ZipItem item, Span<byte> contents)
    {
        if (item.Method == 0)
        {
            _file.CopyTo(item.Offset, contents);
        }
        else
        {
            try
            {
                using var inflate = new DeflateStream(_file.OpenStream(item.Offset, item.CompressedLength), CompressionMode.Decompress);
                inflate.ReadExactly(contents);
                if (inflate.ReadByte() >= 0) throw Error($"entry '{item.Name}' is longer than the {item.Length} bytes that it declares");
            }
            catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
            {
                throw Error($"entry '{item.Name}' does not unpack to the {item.Length} bytes that it declares", e);
            }
        }
        if (Crc32.Append(0, contents) != item.Crc) throw Error($"entry '{item.Name}' has a wrong checksum: the file is damaged");
    }

    private void ReadDirectory()
    {
        int tail = (int)Math.Min(_file.Length, 65536 + 22 + 20);
        long tailStart = _file.Length - tail;
        ReadOnlySpan<byte> end = _file.Span(tailStart, tail);
        int at = -1;
        for (int i = tail - 22; i >= 0; i--)
        {
            if (BinaryPrimitives.ReadUInt32LittleEndian(end[i..]) == 0x06054b50)
            {
                at = i;
                break;
            }
        }
        if (at < 0) throw Error("the end of the zip directory is missing: the file is truncated or no zip archive");
        long entries = U16(end, at + 10), size = U32(end, at + 12), start = U32(end, at + 16);
        if ((entries == 0xFFFF || size == uint.MaxValue || start == uint.MaxValue) && at >= 20 && U32(end, at - 20) == 0x07064b50)
        {
            long record = I64(end, at - 20 + 8);
            ReadOnlySpan<byte> wide = Range(record, 56);
            if (U32(wide, 0) != 0x06064b50) throw Error("the zip64 directory record is missing");
            (entries, size, start) = (I64(wide, 32), I64(wide, 40), I64(wide, 48));
        }
        if (entries is < 0 or > MaxEntries) throw Error($"the directory declares {entries} entries (at most {MaxEntries})");
        if (start < 0 || size < 0 || start > _file.Length - size || size > int.MaxValue || entries * 46 > size)
            throw Error("the zip directory lies outside the file");
        ReadOnlySpan<byte> directory = _file.Span(start, (int)size);
        int p = 0;
        for (long i = 0; i < entries; i++) p = ReadEntry(directory, p);
        GC.KeepAlive(_file);
    }

    private int ReadEntry(ReadOnlySpan<byte> directory, int p)
    {
        if (directory.Length - p < 46 || U32(directory, p) != 0x02014b50) throw Error("an entry of the zip directory is damaged");
        int flags = U16(directory, p + 8), method = U16(directory, p + 10);
        uint crc = (uint)U32(directory, p + 16);
        long compressed = U32(directory, p + 20), length = U32(directory, p + 24), local = U32(directory, p + 42);
        int nameLength = U16(directory, p + 28), extraLength = U16(directory, p + 30), commentLength = U16(directory, p + 32);
        int next = p + 46 + nameLength + extraLength + commentLength;
        if (next > directory.Length) throw Error("an entry of the zip directory reaches beyond its end");
        string name = Encoding.UTF8.GetString(directory.Slice(p + 46, nameLength)).Replace('\\', '/');
        ReadWideFields(directory.Slice(p + 46 + nameLength, extraLength), ref length, ref compressed, ref local);
        if (name.EndsWith('/') && length == 0) return next;
        if ((flags & 1) != 0) throw Error($"entry '{name}' is encrypted");
        if (method is not (0 or 8)) throw Error($"entry '{name}' uses compression method {method}; only stored (0) and deflate (8) are known");
        ReadOnlySpan<byte> header = Range(local, 30);
        if (U32(header, 0) != 0x04034b50) throw Error($"entry '{name}' points to no local header");
        long offset = local + 30 + U16(header, 26) + U16(header, 28);
        if (compressed < 0 || length < 0 || offset > _file.Length - compressed) throw Error($"entry '{name}' reaches beyond the end of the file");
        if (method == 0 && compressed != length) throw Error($"stored entry '{name}' declares two different lengths");
        // 1032:1 is the most that deflate can do; far less is the most that weights do.
        if (method == 8 && (length / 1032 > compressed || (length > FreeLength && length / MaxRatio > compressed)))
            throw new ModelFormatException(_code, $"entry '{name}' claims to unpack from {compressed} to {length} bytes: this looks like a zip bomb") { Where = _file.Path };
        if (!Items.TryAdd(name, new ZipItem(name, method, crc, offset, compressed, length))) throw Error($"entry '{name}' is there twice");
        return next;
    }

    private static void ReadWideFields(ReadOnlySpan<byte> extra, ref long length, ref long compressed, ref long local)
    {
        while (extra.Length >= 4)
        {
            int id = U16(extra, 0), size = U16(extra, 2);
            if (size > extra.Length - 4) return;
            if (id == 1)
            {
                ReadOnlySpan<byte> fields = extra.Slice(4, size);
                if (length == uint.MaxValue) length = Take(ref fields, length);
                if (compressed == uint.MaxValue) compressed = Take(ref fields, compressed);
                if (local == uint.MaxValue) local = Take(ref fields, local);
                return;
            }
            extra = extra[(4 + size)..];
        }

        static long Take(ref ReadOnlySpan<byte> fields, long fallback)
        {
            if (fields.Length < 8) return fallback;
            long value = BinaryPrimitives.ReadInt64LittleEndian(fields);
            fields = fields[8..];
            return value;
        }
    }

    private void RequireDisjoint()
    {
        long end = 0;
        foreach (ZipItem item in Items.Values.OrderBy(i => i.Offset))
        {
            if (item.Offset < end) throw Error($"entry '{item.Name}' overlaps another entry");
            end = item.Offset + item.CompressedLength;
        }
    }

    private ReadOnlySpan<byte> Range(long offset, int length)
    {
        if (offset < 0 || offset > _file.Length - length) throw Error("the zip directory points outside the file");
        return _file.Span(offset, length);
    }

    private ModelFormatException Error(string message, Exception? inner = null) => new(_code, message, inner) { Where = _file.Path };

    private static int U16(ReadOnlySpan<byte> s, int at) => BinaryPrimitives.ReadUInt16LittleEndian(s[at..]);

    private static long U32(ReadOnlySpan<byte> s, int at) => BinaryPrimitives.ReadUInt32LittleEndian(s[at..]);

    private static long I64(ReadOnlySpan<byte> s, int at) => BinaryPrimitives.ReadInt64LittleEndian(s[at..]);
}
