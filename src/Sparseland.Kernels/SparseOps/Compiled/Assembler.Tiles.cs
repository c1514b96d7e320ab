namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>The instructions of products with tiles of rows: registers of which a mask names the lanes, and sums of four or eight rows.</summary>
/// <remarks>Names of instructions stand beside their methods. A narrow register has four lanes or eight.</remarks>
internal sealed partial class Assembler
{
    private const int Quarter = 0;

    /// <summary>target = the 4 bytes at [address + offset], a number with sign (movsxd).</summary>
    public void LoadIndex(Register target, Register address, int offset = 0)
    {
        Byte(0x48 | (int)target >> 3 << 2 | (int)address >> 3);
        Byte(0x63);
        Operand((int)target, address, offset, 1);
    }

    /// <summary>target *= the 8 bytes at [address + offset] (imul).</summary>
    public void MultiplyBy(Register target, Register address, int offset)
    {
        Byte(0x48 | (int)target >> 3 << 2 | (int)address >> 3);
        Byte(0x0F);
        Byte(0xAF);
        Operand((int)target, address, offset, 1);
    }

    /// <summary>Jumps over what follows, up to <see cref="Land"/>, when a number is even (test, jz).</summary>
    /// <returns>For <see cref="Land"/>.</returns>
    public int SkipIfEven(Register value)
    {
        Byte(0x48 | (int)value >> 3);
        Byte(0xF7);
        Byte(0xC0 | (int)value & 7);
        Word(1);
        Byte(0x0F);
        Byte(0x84);
        Word(0);
        return Length;
    }

    /// <summary>Shifts to the right, without sign (shr).</summary>
    public void ShiftRight(Register target, int count)
    {
        Byte(0x48 | (int)target >> 3);
        Byte(0xC1);
        Byte(0xE8 | (int)target & 7);
        Byte(count);
    }

    /// <summary>target *= source (imul).</summary>
    public void Multiply(Register target, Register source)
    {
        Byte(0x48 | (int)target >> 3 << 2 | (int)source >> 3);
        Byte(0x0F);
        Byte(0xAF);
        Byte(0xC0 | ((int)target & 7) << 3 | (int)source & 7);
    }

    /// <summary>target = [address + offset] in the lanes of the mask, zeros elsewhere, where nothing is read (vmovups).</summary>
    public void LoadMasked(int target, int mask, Register address, int offset) => Masked(0x10, target, mask, zeros: true, address, offset);

    /// <summary>[address + offset] = source in the lanes of the mask; nothing is written elsewhere (vmovups).</summary>
    public void StoreMasked(int source, int mask, Register address, int offset) => Masked(0x11, source, mask, zeros: false, address, offset);

    /// <summary>target = [address + offset], so many lanes (vmovups).</summary>
    public void LoadLanes(int target, int lanes, Register address, int offset) => Lanes(Map0F, NoPrefix, 0x10, target, 0, lanes, address, offset);

    /// <summary>Asks for the line at [address + offset] in order to write it, into the first cache (prefetchw).</summary>
    public void PrefetchToWrite(Register address, int offset)
    {
        if ((int)address >= 8) Byte(0x41);
        Byte(0x0F);
        Byte(0x0D);
        Operand(1, address, offset, 1);
    }

    /// <summary>The float at [address + offset] = one of the first four lanes of source (vextractps).</summary>
    public void StoreLane(int source, int lane, Register address, int offset)
    {
        Extended(Map0F3A, Prefix66, false, source, 0, (int)address < 8, true, 0, false, Quarter);
        Byte(0x17);
        Operand(source, address, offset, sizeof(float));
        Byte(lane);
    }

    /// <summary>One of the first four lanes of target = the float at [address + offset]; the others stay (vinsertps).</summary>
    public void LoadLane(int target, int lane, Register address, int offset)
    {
        Extended(Map0F3A, Prefix66, false, target, target, (int)address < 8, true, 0, false, Quarter);
        Byte(0x21);
        Operand(target, address, offset, sizeof(float));
        Byte(lane << 4);
    }

    /// <summary>Lanes 4 to 7 of target = the first four of source (vinsertf32x4).</summary>
    public void JoinLanes(int target, int source)
    {
        Extended(Map0F3A, Prefix66, false, target, target, (source & 8) == 0, (source & 16) == 0, 0, false, Half);
        Byte(0x18);
        Byte(0xC0 | (target & 7) << 3 | source & 7);
        Byte(1);
    }

    /// <summary>The first four lanes of target = lanes 4 to 7 of source (vextractf32x4).</summary>
    public void UpperLanes(int target, int source)
    {
        Extended(Map0F3A, Prefix66, false, source, 0, (target & 8) == 0, (target & 16) == 0, 0, false, Half);
        Byte(0x19);
        Byte(0xC0 | (source & 7) << 3 | target & 7);
        Byte(1);
    }

    /// <summary>sum += left * [address + offset], so many lanes (vfmadd231ps).</summary>
    public void MultiplyAddLanes(int sum, int left, int lanes, Register address, int offset) => Lanes(Map0F38, Prefix66, 0xB8, sum, left, lanes, address, offset);

    /// <summary>As <see cref="StoreLane"/>, for registers 0 to 15 and without AVX-512 (vextractps).</summary>
    public void StoreLane256(int source, int lane, Register address, int offset)
    {
        Vex(Map0F3A, Prefix66, 0x17, source, 0, address, offset, 4);
        Byte(lane);
    }

    /// <summary>As <see cref="LoadLane"/>, for registers 0 to 15 and without AVX-512 (vinsertps).</summary>
    public void LoadLane256(int target, int lane, Register address, int offset)
    {
        Vex(Map0F3A, Prefix66, 0x21, target, target, address, offset, 4);
        Byte(lane << 4);
    }

    private void Masked(int operation, int target, int mask, bool zeros, Register address, int offset)
    {
        Extended(Map0F, NoPrefix, false, target, 0, (int)address < 8, true, mask, zeros, Wide);
        Byte(operation);
        Operand(target, address, offset, VectorBytes);
    }

    private void Lanes(int map, int prefix, int operation, int target, int left, int lanes, Register address, int offset)
    {
        Extended(map, prefix, false, target, left, (int)address < 8, true, 0, false, lanes == 4 ? Quarter : Half);
        Byte(operation);
        Operand(target, address, offset, lanes * sizeof(float));
    }
}
