namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>The vector instructions of machines without AVX-512: 16 registers of eight lanes (or of four, where a method takes a number of lanes).</summary>
/// <remarks>
/// Encodings: Intel, "Software Developer's Manual", volume 2, section 2.3 (VEX); names of instructions stand beside their methods. Offsets are bytes and are not divided: -128 to 127 take one byte. Masks are vector registers here: the
/// highest bit of a lane counts.
/// </remarks>
internal sealed partial class Assembler
{
    /// <summary>target = [address + offset] (vmovups).</summary>
    public void Load256(int target, Register address, int offset, int lanes = 8) => Vex(Map0F, NoPrefix, 0x10, target, 0, address, offset, lanes);

    /// <summary>[address + offset] = source (vmovups).</summary>
    public void Store256(int source, Register address, int offset, int lanes = 8) => Vex(Map0F, NoPrefix, 0x11, source, 0, address, offset, lanes);

    /// <summary>target = the float at [address + offset] in all lanes (vbroadcastss).</summary>
    public void Broadcast256(int target, Register address, int offset, int lanes = 8) => Vex(Map0F38, Prefix66, 0x18, target, 0, address, offset, lanes);

    /// <summary>target = [address + offset] in the lanes of the mask, zeros elsewhere, where nothing is read (vmaskmovps).</summary>
    public void LoadMasked256(int target, int mask, Register address, int offset, int lanes = 8) => Vex(Map0F38, Prefix66, 0x2C, target, mask, address, offset, lanes);

    /// <summary>[address + offset] = source in the lanes of the mask; nothing is written elsewhere (vmaskmovps).</summary>
    public void StoreMasked256(int source, int mask, Register address, int offset, int lanes = 8) => Vex(Map0F38, Prefix66, 0x2E, source, mask, address, offset, lanes);

    /// <summary>sum += left * right (vfmadd231ps).</summary>
    public void MultiplyAdd256(int sum, int left, int right, int lanes = 8) => Vex(Map0F38, Prefix66, 0xB8, sum, left, right, lanes);

    /// <summary>sum += left * [address + offset] (vfmadd231ps).</summary>
    public void MultiplyAdd256(int sum, int left, Register address, int offset, int lanes = 8) => Vex(Map0F38, Prefix66, 0xB8, sum, left, address, offset, lanes);

    /// <summary>sum += left * [address + index + offset] (vfmadd231ps).</summary>
    public void MultiplyAdd256(int sum, int left, Register address, Register index, int offset, int lanes = 8) => Vex(Map0F38, Prefix66, 0xB8, sum, left, address, index, offset, lanes);

    /// <summary>target = left + right (vaddps).</summary>
    public void Add256(int target, int left, int right, int lanes = 8) => Vex(Map0F, NoPrefix, 0x58, target, left, right, lanes);

    /// <summary>target = left + [address + offset] (vaddps).</summary>
    public void Add256(int target, int left, Register address, int offset, int lanes = 8) => Vex(Map0F, NoPrefix, 0x58, target, left, address, offset, lanes);

    /// <summary>target = left > right ? left : right, so right when either is NaN (vmaxps).</summary>
    public void Max256(int target, int left, int right, int lanes = 8) => Vex(Map0F, NoPrefix, 0x5F, target, left, right, lanes);

    /// <summary>target = left &lt; right ? left : right, so right when either is NaN (vminps).</summary>
    public void Min256(int target, int left, int right, int lanes = 8) => Vex(Map0F, NoPrefix, 0x5D, target, left, right, lanes);

    /// <summary>target = 0 (vxorps).</summary>
    public void Clear256(int target) => Vex(Map0F, NoPrefix, 0x57, target, target, target, 4);

    /// <summary>target = source (vmovaps).</summary>
    public void Copy256(int target, int source) => Vex(Map0F, NoPrefix, 0x28, target, 0, source, 8);

    /// <summary>Lanes 4 to 7 of target = the first four of source, the others those of left (vinsertf128).</summary>
    public void JoinLanes256(int target, int left, int source)
    {
        Vex(Map0F3A, Prefix66, 0x18, target, left, source, 8);
        Byte(1);
    }

    /// <summary>The first four lanes of target = lanes 4 to 7 of source (vextractf128).</summary>
    public void UpperLanes256(int target, int source)
    {
        Vex(Map0F3A, Prefix66, 0x19, source, 0, target, 8);
        Byte(1);
    }

    private void Vex(int map, int prefix, int operation, int target, int left, int right, int lanes)
    {
        Vex(map, prefix, target, left, false, right >= 8, lanes);
        Byte(operation);
        Byte(0xC0 | (target & 7) << 3 | right & 7);
    }

    private void Vex(int map, int prefix, int operation, int target, int left, Register address, int offset, int lanes)
    {
        Vex(map, prefix, target, left, false, (int)address >= 8, lanes);
        Byte(operation);
        Operand(target, address, offset, 1);
    }

    private void Vex(int map, int prefix, int operation, int target, int left, Register address, Register index, int offset, int lanes)
    {
        Vex(map, prefix, target, left, (int)index >= 8, (int)address >= 8, lanes);
        Byte(operation);
        // An address of three low bits 5 (rbp, r13) needs an offset.
        bool none = offset == 0 && ((int)address & 7) != 5, near = offset is >= sbyte.MinValue and <= sbyte.MaxValue;
        Byte((none ? 0 : near ? 0x40 : 0x80) | (target & 7) << 3 | 4);
        Byte(((int)index & 7) << 3 | (int)address & 7);
        if (none) return;
        if (near) Byte(offset);
        else Word(offset);
    }

    // Register numbers are stored complemented. Two bytes where nothing needs the third.
    private void Vex(int map, int prefix, int target, int left, bool highIndex, bool highAddress, int lanes)
    {
        int last = (~left & 15) << 3 | (lanes == 8 ? 4 : 0) | prefix;
        if (map == Map0F && !highIndex && !highAddress)
        {
            Byte(0xC5);
            Byte(((target & 8) == 0 ? 0x80 : 0) | last);
            return;
        }
        Byte(0xC4);
        Byte(((target & 8) == 0 ? 0x80 : 0) | (highIndex ? 0 : 0x40) | (highAddress ? 0 : 0x20) | map);
        Byte(last);
    }
}
