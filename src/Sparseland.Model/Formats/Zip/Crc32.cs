using System.Buffers.Binary;

namespace Sparseland.Model.Formats.Zip;

/// <summary>The CRC-32 of zip files (reflected polynomial 0xEDB88320), eight bytes a step.</summary>
internal static class Crc32
{
    private static readonly uint[] s_tables = BuildTables();

    /// <summary>Continues a checksum; start with 0.</summary>
    internal static uint Append(uint crc, ReadOnlySpan<byte> data)
    {
        uint[] t = s_tables;
        uint c = ~crc;
        while (data.Length >= 8)
        {
            uint low = BinaryPrimitives.ReadUInt32LittleEndian(data) ^ c, high = BinaryPrimitives.ReadUInt32LittleEndian(data[4..]);
            c = t[0x700 + (low & 255)] ^ t[0x600 + (low >> 8 & 255)] ^ t[0x500 + (low >> 16 & 255)] ^ t[0x400 + (low >> 24)]
                ^ t[0x300 + (high & 255)] ^ t[0x200 + (high >> 8 & 255)] ^ t[0x100 + (high >> 16 & 255)] ^ t[high >> 24];
            data = data[8..];
        }
        foreach (byte b in data) c = t[(c ^ b) & 255] ^ c >> 8;
        return ~c;
    }

    private static uint[] BuildTables()
    {
        var t = new uint[8 * 256];
        for (uint i = 0; i < 256; i++)
        {
            uint c = i;
            for (int k = 0; k < 8; k++) c = (c & 1) != 0 ? 0xEDB88320u ^ c >> 1 : c >> 1;
            t[i] = c;
        }
        for (int k = 1; k < 8; k++)
        {
            for (int i = 0; i < 256; i++)
            {
                uint c = t[(k - 1) * 256 + i];
                t[k * 256 + i] = t[c & 255] ^ c >> 8;
            }
        }
        return t;
    }
}
