namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>The instructions of products with bit-masks: masks read from memory into mask registers, values spread under them, dot products of bytes.</summary>
/// <remarks>Names of instructions stand beside their methods. Mask registers are numbers 1 to 7; sums of bytes need AVX-512 VNNI, spreading bytes and words VBMI2.</remarks>
internal sealed partial class Assembler
{
    private const int Map0F = 1, Map0F38 = 2, Map0F3A = 3, NoPrefix = 0, Prefix66 = 1, PrefixF3 = 2, PrefixF2 = 3, Wide = 2, Half = 1;

    private static readonly Register[] s_saved = [Register.Rbx, Register.Rbp, Register.R12, Register.R13, Register.R14, Register.R15];

    /// <summary>Puts the caller's registers away (push).</summary>
    public void SaveRegisters()
    {
        foreach (Register r in s_saved) PushOrPop(0x50, r);
    }

    /// <summary>Brings them back (pop).</summary>
    public void RestoreRegisters()
    {
        for (int i = s_saved.Length - 1; i >= 0; i--) PushOrPop(0x58, s_saved[i]);
    }

    /// <summary>Mask register = 16, 32 or 64 bits at [address + offset] (kmovw, kmovd, kmovq).</summary>
    public void LoadMask(int mask, int bits, Register address, int offset)
    {
        Byte(0xC4);
        Byte(0xC0 | ((int)address < 8 ? 0x20 : 0) | Map0F);
        Byte((bits >= 32 ? 0x80 : 0) | 0x78 | (bits == 32 ? 1 : 0));
        Byte(0x90);
        Operand(mask, address, offset, 1);
    }

    /// <summary>Mask register = a general register (kmovq).</summary>
    public void MoveToMask(int mask, Register source)
    {
        Byte(0xC4);
        Byte(0xC0 | ((int)source < 8 ? 0x20 : 0) | Map0F);
        Byte(0x80 | 0x78 | 3);
        Byte(0x92);
        Byte(0xC0 | mask << 3 | (int)source & 7);
    }

    /// <summary>target = source without its lowest bits (kshiftrq).</summary>
    public void ShiftMaskRight(int target, int source, int count)
    {
        Byte(0xC4);
        Byte(0xE0 | Map0F3A);
        Byte(0x80 | 0x78 | 1);
        Byte(0x31);
        Byte(0xC0 | target << 3 | source);
        Byte(count);
    }

    /// <summary>target = the number of set bits of source (popcnt).</summary>
    public void CountBits(Register target, Register source)
    {
        Byte(0xF3);
        Byte(0x48 | (int)target >> 3 << 2 | (int)source >> 3);
        Byte(0x0F);
        Byte(0xB8);
        Byte(0xC0 | ((int)target & 7) << 3 | (int)source & 7);
    }

    /// <summary>Shifts to the left (shl).</summary>
    public void ShiftLeft(Register target, int count)
    {
        Byte(0x48 | (int)target >> 3);
        Byte(0xC1);
        Byte(0xE0 | (int)target & 7);
        Byte(count);
    }

    /// <summary>Asks for the line at [address + offset], into the first cache (prefetcht0).</summary>
    public void PrefetchNear(Register address, int offset)
    {
        if ((int)address >= 8) Byte(0x41);
        Byte(0x0F);
        Byte(0x18);
        Operand(1, address, offset, 1);
    }

    /// <summary>target = the number of set bits among 32 or 64 at [address + offset] (popcnt).</summary>
    public void CountBits(Register target, int bits, Register address, int offset)
    {
        Byte(0xF3);
        Byte((bits == 64 ? 0x48 : 0x40) | (int)target >> 3 << 2 | (int)address >> 3);
        Byte(0x0F);
        Byte(0xB8);
        Operand((int)target, address, offset, 1);
    }

    /// <summary>target += index * 2^shift (lea).</summary>
    public void AddScaled(Register target, Register index, int shift)
    {
        Byte(0x48 | (int)target >> 3 << 2 | (int)index >> 3 << 1 | (int)target >> 3);
        Byte(0x8D);
        Byte(0x40 | ((int)target & 7) << 3 | 4);
        Byte(shift << 6 | ((int)index & 7) << 3 | (int)target & 7);
        Byte(0);
    }

    /// <summary>target = the 8 bytes at [address + offset] for every register (mov).</summary>
    public void LoadAny(Register target, Register address, int offset)
    {
        Byte(0x48 | (int)target >> 3 << 2 | (int)address >> 3);
        Byte(0x8B);
        Operand((int)target, address, offset, 1);
    }

    /// <summary>target = [address + offset]: 64 bytes, or 32 with zeros above them (vmovups).</summary>
    public void LoadBytes(int target, Register address, int offset, bool half) => Memory(Map0F, NoPrefix, false, 0x10, target, 0, address, offset, half ? Half : Wide);

    /// <summary>target = [address + index * 2^shift]: 64 bytes, or 32 with zeros above them (vmovups).</summary>
    public void LoadBytes(int target, Register address, Register index, int shift, bool half)
    {
        Extended(Map0F, NoPrefix, false, target, 0, (int)address < 8, (int)index < 8, 0, false, half ? Half : Wide);
        Byte(0x10);
        Byte(0x40 | (target & 7) << 3 | 4);
        Byte(shift << 6 | ((int)index & 7) << 3 | (int)address & 7);
        Byte(0);
    }

    /// <summary>[address + offset] = source (vmovups).</summary>
    public void StoreBytes(int source, Register address, int offset) => Memory(Map0F, NoPrefix, false, 0x11, source, 0, address, offset, Wide);

    /// <summary>target = source (vmovaps).</summary>
    public void Copy(int target, int source) => Registers(Map0F, NoPrefix, false, 0x28, target, 0, source);

    /// <summary>target = 0 (vpxord).</summary>
    public void Clear(int target) => Xor(target, target, target);

    /// <summary>All 32-bit lanes of target = value, through a general register (mov, vpbroadcastd).</summary>
    public void BroadcastConstant(int target, uint value, Register through)
    {
        if ((int)through >= 8) Byte(0x41);
        Byte(0xB8 | (int)through & 7);
        Word((int)value);
        Registers(Map0F38, Prefix66, false, 0x7C, target, 0, (int)through);
    }

    /// <summary>target = left ^ right (vpxord).</summary>
    public void Xor(int target, int left, int right) => Registers(Map0F, Prefix66, false, 0xEF, target, left, right);

    /// <summary>target = left exclusive or [address + offset]: 64 bytes, or 32 with zeros above them (vpxord).</summary>
    public void Xor(int target, int left, Register address, int offset, bool half) => Memory(Map0F, Prefix66, false, 0xEF, target, left, address, offset, half ? Half : Wide);

    /// <summary>target = left &amp; right (vpandd).</summary>
    public void And(int target, int left, int right) => Registers(Map0F, Prefix66, false, 0xDB, target, left, right);

    /// <summary>target = source shifted left in 32-bit lanes (vpslld).</summary>
    public void ShiftLeft32(int target, int source, int count)
    {
        Registers(Map0F, Prefix66, false, 0x72, 6, target, source);
        Byte(count);
    }

    /// <summary>target = source shifted right in 16-bit lanes (vpsrlw).</summary>
    public void ShiftRight16(int target, int source, int count)
    {
        Registers(Map0F, Prefix66, false, 0x71, 2, target, source);
        Byte(count);
    }

    /// <summary>The next values of the source where the mask has a bit, zeros or what target held elsewhere (vexpandps, vpexpandw, vpexpandb).</summary>
    public void Expand(int bytes, int target, int mask, int source, bool zeros) =>
        Registers(Map0F38, Prefix66, bytes == 2, bytes == 4 ? 0x88 : 0x62, target, 0, source, mask, zeros);

    /// <summary>The bytes of the source that the mask names, one behind the other; target keeps what lies behind them (vpcompressb).</summary>
    public void CompressBytes(int target, int mask, int source) => Registers(Map0F38, Prefix66, false, 0x63, source, 0, target, mask);

    /// <summary>target = the first 16 bytes of source as 32-bit numbers with signs (vpmovsxbd).</summary>
    public void WidenBytes(int target, int source) => Registers(Map0F38, Prefix66, false, 0x21, target, 0, source);

    /// <summary>mask = the lanes in which left &amp; right is not zero, or where it is (vptestmd, vptestnmd).</summary>
    public void Test(int mask, int left, int right, bool zero) => Registers(Map0F38, zero ? PrefixF3 : Prefix66, false, 0x27, mask, left, right);

    /// <summary>Each lane of target, a number whose lowest five bits count, becomes that lane of the 32 in low and high (vpermi2ps).</summary>
    public void Pick(int target, int low, int high) => Registers(Map0F38, Prefix66, false, 0x77, target, low, high);

    /// <summary>target = source in the lanes of the mask (vmovaps).</summary>
    public void CopyMasked(int target, int mask, int source) => Registers(Map0F, NoPrefix, false, 0x28, target, 0, source, mask);

    /// <summary>sum += left * right in the lanes of the mask (vfmadd231ps).</summary>
    public void MultiplyAddMasked(int sum, int mask, int left, int right) => Registers(Map0F38, Prefix66, false, 0xB8, sum, left, right, mask);

    /// <summary>sum += the products of four unsigned bytes of left with four signed ones of right, per 32-bit lane (vpdpbusd).</summary>
    public void DotBytes(int sum, int left, int right) => Registers(Map0F38, Prefix66, false, 0x50, sum, left, right);

    /// <summary>target = source as single-precision numbers (vcvtdq2ps).</summary>
    public void ToSingle(int target, int source) => Registers(Map0F, NoPrefix, false, 0x5B, target, 0, source);

    /// <summary>sum += left * right (vfmadd231ps).</summary>
    public void MultiplyAdd(int sum, int left, int right) => Registers(Map0F38, Prefix66, false, 0xB8, sum, left, right);

    /// <summary>target = the byte at [address + offset] (movzx).</summary>
    public void LoadByte(Register target, Register address, int offset)
    {
        Byte(0x48 | (int)target >> 3 << 2 | (int)address >> 3);
        Byte(0x0F);
        Byte(0xB6);
        Operand((int)target, address, offset, 1);
    }

    /// <summary>target = the 32 bytes at [address + offset], each four of them with four zeros behind (vpmovzxdq).</summary>
    public void LoadPairs(int target, Register address, int offset)
    {
        Extended(Map0F38, Prefix66, false, target, 0, (int)address < 8, true, 0, false, Wide);
        Byte(0x35);
        Operand(target, address, offset, 32);
    }

    /// <summary>target = the 16 16-bit integers at [address + offset] as 32-bit ones (vpmovsxwd).</summary>
    public void LoadShorts(int target, Register address, int offset)
    {
        Extended(Map0F38, Prefix66, false, target, 0, (int)address < 8, true, 0, false, Wide);
        Byte(0x23);
        Operand(target, address, offset, 32);
    }

    /// <summary>target = the 16 half-precision numbers at [address + offset] as singles (vcvtph2ps).</summary>
    public void LoadHalves(int target, Register address, int offset)
    {
        Extended(Map0F38, Prefix66, false, target, 0, (int)address < 8, true, 0, false, Wide);
        Byte(0x13);
        Operand(target, address, offset, 32);
    }

    /// <summary>The single at [address + 4 * index] = itself + the one at [from + offset], through a register (vmovss, vaddss).</summary>
    public void AddSingleTo(Register address, Register index, int through, Register from, int offset)
    {
        Single(0x10);
        Extended(Map0F, PrefixF3, false, through, through, (int)from < 8, true, 0, false, 0);
        Byte(0x58);
        Operand(through, from, offset, sizeof(float));
        Single(0x11);

        void Single(int operation)
        {
            Extended(Map0F, PrefixF3, false, through, 0, (int)address < 8, (int)index < 8, 0, false, 0);
            Byte(operation);
            Byte(0x40 | (through & 7) << 3 | 4);
            Byte(2 << 6 | ((int)index & 7) << 3 | (int)address & 7);
            Byte(0);
        }
    }

    /// <summary>target = left * right (vmulps).</summary>
    public void Multiply(int target, int left, int right) => Registers(Map0F, NoPrefix, false, 0x59, target, left, right);

    /// <summary>target = left + right (vaddps).</summary>
    public void AddSingles(int target, int left, int right) => Registers(Map0F, NoPrefix, false, 0x58, target, left, right);

    /// <summary>target = bytes of left and right in turn, of the lower or higher halves of each 16 (vpunpcklbw, vpunpckhbw).</summary>
    public void UnpackBytes(int target, int left, int right, bool high) => Registers(Map0F, Prefix66, false, high ? 0x68 : 0x60, target, left, right);

    /// <summary>The same with 16 bits (vpunpcklwd, vpunpckhwd).</summary>
    public void UnpackShorts(int target, int left, int right, bool high) => Registers(Map0F, Prefix66, false, high ? 0x69 : 0x61, target, left, right);

    /// <summary>The same with singles (vunpcklps, vunpckhps).</summary>
    public void UnpackSingles(int target, int left, int right, bool high) => Registers(Map0F, NoPrefix, false, high ? 0x15 : 0x14, target, left, right);

    /// <summary>The same with 64 bits (vunpcklpd, vunpckhpd).</summary>
    public void UnpackDoubles(int target, int left, int right, bool high) => Registers(Map0F, Prefix66, true, high ? 0x15 : 0x14, target, left, right);

    /// <summary>target = source shifted right in 32-bit lanes, its sign kept (vpsrad).</summary>
    public void ShiftRight32(int target, int source, int count)
    {
        Registers(Map0F, Prefix66, false, 0x72, 4, target, source);
        Byte(count);
    }

    /// <summary>Each byte of target = 8 bits of the 64 of source that it lies in, from the bit on that the byte of shifts names (vpmultishiftqb).</summary>
    public void MultiShift(int target, int shifts, int source) => Registers(Map0F38, Prefix66, true, 0x83, target, shifts, source);

    /// <summary>target = the lower 32 bits of left * right per lane (vpmulld).</summary>
    public void MultiplyLow32(int target, int left, int right) => Registers(Map0F38, Prefix66, false, 0x40, target, left, right);

    /// <summary>Adds integers of 32 bits (vpaddd).</summary>
    public void AddIntegers(int target, int left, int right) => Registers(Map0F, Prefix66, false, 0xFE, target, left, right);

    /// <summary>Each byte of target, a number whose lowest seven bits count, becomes that one of the 128 in low and high (vpermi2b).</summary>
    public void PickBytes(int target, int low, int high) => Registers(Map0F38, Prefix66, false, 0x75, target, low, high);

    /// <summary>mask = the highest bit of each byte (vpmovb2m).</summary>
    public void SignsToMask(int mask, int source) => Registers(Map0F38, PrefixF3, false, 0x29, mask, 0, source);

    /// <summary>target = source in the bytes of the mask (vmovdqu8).</summary>
    public void CopyBytesMasked(int target, int mask, int source) => Registers(Map0F, PrefixF2, false, 0x6F, target, 0, source, mask);

    /// <summary>Subtracts one and jumps back while the result is not zero (dec, jnz).</summary>
    public void Loop(Register counter, int target)
    {
        Decrement(counter);
        JumpIfNotZero(target);
    }

    private void PushOrPop(int operation, Register register)
    {
        if ((int)register >= 8) Byte(0x41);
        Byte(operation | (int)register & 7);
    }

    private void Memory(int map, int prefix, bool w, int operation, int target, int left, Register address, int offset, int length)
    {
        Extended(map, prefix, w, target, left, (int)address < 8, true, 0, false, length);
        Byte(operation);
        Operand(target, address, offset, length == Wide ? 64 : 32);
    }

    private void Registers(int map, int prefix, bool w, int operation, int target, int left, int right, int mask = 0, bool zeros = false)
    {
        Extended(map, prefix, w, target, left, (right & 8) == 0, (right & 16) == 0, mask, zeros, Wide);
        Byte(operation);
        Byte(0xC0 | (target & 7) << 3 | right & 7);
    }

    private void Extended(int map, int prefix, bool w, int target, int left, bool noB, bool noX, int mask, bool zeros, int length)
    {
        Byte(0x62);
        Byte(((target & 8) == 0 ? 0x80 : 0) | (noX ? 0x40 : 0) | (noB ? 0x20 : 0) | ((target & 16) == 0 ? 0x10 : 0) | map);
        Byte((w ? 0x80 : 0) | (~left & 15) << 3 | 4 | prefix);
        Byte((zeros ? 0x80 : 0) | length << 5 | ((left & 16) == 0 ? 8 : 0) | mask);
    }

    // An address of four low bits 4 (rsp, r12) needs a second byte, one of 5 (rbp, r13) an offset.
    private void Operand(int target, Register address, int offset, int size)
    {
        int low = (int)address & 7, registers = (target & 7) << 3 | low;
        bool small = offset % size == 0 && offset / size is >= sbyte.MinValue and <= sbyte.MaxValue, none = offset == 0 && low != 5;
        Byte((none ? 0 : small ? 0x40 : 0x80) | registers);
        if (low == 4) Byte(0x24);
        if (none) return;
        if (small) Byte(offset / size);
        else Word(offset);
    }
}
