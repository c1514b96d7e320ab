using System.Runtime.InteropServices;
using Sparseland.Kernels.Dense;

namespace Sparseland.Kernels.SparseOps.Vector;

/// <summary>Per byte of mask: how packed values spread over eight lanes, for machines without an expand instruction.</summary>
internal static unsafe class ExpandTables
{
    /// <summary>[256, 8]: which packed value each lane takes, with the sign bit; 0 where the bit is clear. 2 KiB leave the input its place in the first cache, which tables of 32 bits did not.</summary>
    public static readonly byte* Places = BuildPlaces();

    /// <summary>Eight lanes of -1 and eight of 0: from 8 - n on, the first n of eight.</summary>
    public static readonly int* FirstLanes = BuildFirstLanes();

    /// <summary>[256, 8] for a byte shuffle of 8-bit values: 0x80 (zero) where the bit is clear.</summary>
    public static readonly byte[] Bytes = Array.ConvertAll(Build(static (next, set) => set ? next : 0x80), v => (byte)v);

    /// <summary>[256, 16] for a byte shuffle of 16-bit values: 0x80 (zero) where the bit is clear.</summary>
    public static readonly byte[] Words = BuildWords();

    private static int[] Build(Func<int, bool, int> entry)
    {
        var table = new int[256 * 8];
        for (int bits = 0; bits < 256; bits++)
        {
            int next = 0;
            for (int lane = 0; lane < 8; lane++)
            {
                bool set = (bits >> lane & 1) != 0;
                table[(bits * 8) + lane] = entry(next, set);
                if (set) next++;
            }
        }
        return table;
    }

    // It does not move and begins with a line.
    private static byte* BuildPlaces()
    {
        int[] table = Build(static (next, set) => set ? next | 0x80 : 0);
        byte* places = (byte*)NativeMemory.AlignedAlloc((nuint)table.Length, LineMemory.Line);
        for (int i = 0; i < table.Length; i++) places[i] = (byte)table[i];
        return places;
    }

    private static int* BuildFirstLanes()
    {
        int* lanes = (int*)NativeMemory.AlignedAlloc(16 * sizeof(int), LineMemory.Line);
        for (int i = 0; i < 16; i++) lanes[i] = i < 8 ? -1 : 0;
        return lanes;
    }

    private static byte[] BuildWords()
    {
        var table = new byte[256 * 16];
        for (int i = 0; i < 256 * 8; i++)
        {
            byte from = Bytes[i];
            table[2 * i] = from == 0x80 ? (byte)0x80 : (byte)(2 * from);
            table[(2 * i) + 1] = from == 0x80 ? (byte)0x80 : (byte)((2 * from) + 1);
        }
        return table;
    }
}
