namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>The instructions of products with rows of equal counts: numbers taken out of a general register, values spread out of a vector, lines at computed addresses.</summary>
internal sealed partial class Assembler
{
    /// <summary>target = one of the four 16-bit numbers in source, without sign (rorx, movzx).</summary>
    public void TakeWord(Register target, Register source, int word)
    {
        if (word > 0)
        {
            // VEX.LZ.F2.0F3A.W1 F0
            Byte(0xC4);
            Byte(((int)target < 8 ? 0x80 : 0) | 0x40 | ((int)source < 8 ? 0x20 : 0) | Map0F3A);
            Byte(0x80 | 0x78 | PrefixF2);
            Byte(0xF0);
            Byte(0xC0 | ((int)target & 7) << 3 | (int)source & 7);
            Byte(16 * word);
            source = target;
        }
        Byte(0x40 | (int)target >> 3 << 2 | (int)source >> 3);
        Byte(0x0F);
        Byte(0xB7);
        Byte(0xC0 | ((int)target & 7) << 3 | (int)source & 7);
    }

    /// <summary>Each lane of target = the lane of source that the lane of places names (vpermps).</summary>
    public void Permute(int target, int places, int source) => Registers(Map0F38, Prefix66, false, 0x16, target, places, source);

    /// <summary>sum += left * [address + index + offset] (vfmadd231ps).</summary>
    public void MultiplyAdd(int sum, int left, Register address, Register index, int offset)
    {
        Extended(Map0F38, Prefix66, false, sum, left, (int)address < 8, (int)index < 8, 0, false, Wide);
        Byte(0xB8);
        bool near = offset % VectorBytes == 0 && offset / VectorBytes is >= sbyte.MinValue and <= sbyte.MaxValue;
        Byte((near ? 0x40 : 0x80) | (sum & 7) << 3 | 4);
        Byte(((int)index & 7) << 3 | (int)address & 7);
        if (near) Byte(offset / VectorBytes);
        else Word(offset);
    }

    /// <summary>Goes on at the address that is at [address + offset] (jmp).</summary>
    public void Jump(Register address, int offset)
    {
        if ((int)address >= 8) Byte(0x41);
        Byte(0xFF);
        Operand(4, address, offset, 1);
    }
}
