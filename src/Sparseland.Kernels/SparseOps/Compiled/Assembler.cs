namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>General registers. In the System V convention Rbx, Rbp and R12 to R15 belong to the caller: see <see cref="Assembler.SaveRegisters"/>.</summary>
internal enum Register
{
    Rax = 0, Rcx = 1, Rdx = 2, Rbx = 3, Rbp = 5, Rsi = 6, Rdi = 7, R8 = 8, R9 = 9, R10 = 10, R11 = 11, R12 = 12, R13 = 13, R14 = 14, R15 = 15,
}

/// <summary>Writes the few x64 instructions that sparse kernels consist of. 512-bit registers are numbers 0 to 31.</summary>
/// <remarks>
/// Encodings: Intel, "Software Developer's Manual", volume 2, section 2.7 (EVEX). An offset that is a multiple of the operand's
/// size and within 128 times that takes one byte, so code keeps its pointers near.
/// </remarks>
internal sealed partial class Assembler
{
    private const int VectorBytes = 64;

    private byte[] _code = new byte[1 << 16];

    /// <summary>Bytes written so far.</summary>
    public int Length { get; private set; }

    /// <summary>What was written.</summary>
    public ReadOnlySpan<byte> Code => _code.AsSpan(0, Length);

    /// <summary>Fills up to a multiple of 64 bytes: one line of the instruction cache.</summary>
    public void Align()
    {
        while (Length % 64 != 0) Byte(0x90);
    }

    /// <summary>sum += vector * the float at [address + offset].</summary>
    public void MultiplyAddBroadcast(int sum, int vector, Register address, int offset) => Vector(2, 1, 0xB8, sum, vector, address, offset, sizeof(float), broadcast: true);

    /// <summary>Forgets what was written and keeps the memory.</summary>
    public void Clear() => Length = 0;

    /// <summary>For each of some sums: it += vector * the next of the floats that follow each other from [address + first * 4] on.</summary>
    /// <param name="sums">Registers of the sums.</param>
    /// <param name="vector">Register.</param>
    /// <param name="address">One of the first eight registers.</param>
    /// <param name="first">In floats; it and the last one fit a byte.</param>
    public void MultiplyAddBroadcasts(ReadOnlySpan<(int Row, int Index)> sums, int vector, Register address, int first)
    {
        // Nine of ten instructions are these: seven bytes at once, of which all but the sum and the offset are the same.
        Reserve((7 * sums.Length) + 1);
        ulong same = 0x62 | 0x62UL << 8 | (ulong)(uint)((~vector & 15) << 3 | 5) << 16 | (0x50UL | ((vector & 16) == 0 ? 8UL : 0)) << 24 | 0xB8UL << 32 | (0x40UL | (uint)address & 7) << 40;
        ref byte to = ref _code[Length];
        for (int i = 0; i < sums.Length; i++)
        {
            uint sum = (uint)sums[i].Row;
            ulong bytes = same | (ulong)((~sum & 8) << 4 | ~sum & 16) << 8 | (ulong)(sum & 7) << 43 | (ulong)(byte)(first + i) << 48;
            System.Runtime.CompilerServices.Unsafe.WriteUnaligned(ref System.Runtime.CompilerServices.Unsafe.Add(ref to, 7 * i), bytes);
        }
        Length += 7 * sums.Length;
    }

    /// <summary>target = [address + offset], the address in one of the first eight registers and the offset a multiple of 64 whose quotient fits a byte.</summary>
    public void LoadNear(int target, Register address, int offset)
    {
        Reserve(sizeof(ulong));
        ulong bytes = 0x62 | (ulong)((target & 8) == 0 ? 0x80 : 0) << 8 | (ulong)((target & 16) == 0 ? 0x10 : 0) << 8 | 0x61UL << 8 | 0x7CUL << 16 | 0x48UL << 24 | 0x10UL << 32
            | (ulong)(0x40 | (target & 7) << 3 | (int)address & 7) << 40 | (ulong)(byte)(offset / VectorBytes) << 48;
        System.Runtime.CompilerServices.Unsafe.WriteUnaligned(ref _code[Length], bytes);
        Length += 7;
    }

    /// <summary>target = the float at [address + offset] in all lanes.</summary>
    public void Broadcast(int target, Register address, int offset) => Vector(2, 1, 0x18, target, 0, address, offset, sizeof(float), broadcast: false);

    /// <summary>target = [address + offset].</summary>
    public void Load(int target, Register address, int offset) => Vector(1, 0, 0x10, target, 0, address, offset, VectorBytes, broadcast: false);

    /// <summary>[address + offset] = source.</summary>
    public void Store(int source, Register address, int offset) => Vector(1, 0, 0x11, source, 0, address, offset, VectorBytes, broadcast: false);

    /// <summary>target = left + [address].</summary>
    public void AddMemory(int target, int left, Register address) => Vector(1, 0, 0x58, target, left, address, 0, VectorBytes, broadcast: false);

    /// <summary>target = left + right.</summary>
    public void Add(int target, int left, int right) => Vector(0x58, target, left, right);

    /// <summary>target = left > right ? left : right, so right when either is NaN.</summary>
    public void Max(int target, int left, int right) => Vector(0x5F, target, left, right);

    /// <summary>target = left &lt; right ? left : right, so right when either is NaN.</summary>
    public void Min(int target, int left, int right) => Vector(0x5D, target, left, right);

    /// <summary>Asks for the line at [address + offset], into the second cache.</summary>
    public void Prefetch(Register address, int offset)
    {
        Byte(0x0F);
        Byte(0x18);
        Byte(0x90 | (int)address);
        Word(offset);
    }

    /// <summary>Asks for the line so many bytes behind this instruction, into the second cache.</summary>
    public void PrefetchCode(int distance)
    {
        Byte(0x0F);
        Byte(0x18);
        Byte(0x15);
        Word(distance);
    }

    /// <summary>Asks for the line at [address] in order to write it, into the first cache (prefetchw).</summary>
    public void PrefetchToWrite(Register address)
    {
        Byte(0x0F);
        Byte(0x0D);
        Byte(0x08 | (int)address);
    }

    /// <summary>target += source.</summary>
    public void Add(Register target, Register source) => General(0x01, target, source);

    /// <summary>target = source.</summary>
    public void Move(Register target, Register source) => General(0x89, target, source);

    /// <summary>target += the 8 bytes at [address + offset].</summary>
    public void Add(Register target, Register address, int offset) => Memory(0x03, (int)target, address, offset);

    /// <summary>target = source * factor.</summary>
    public void Multiply(Register target, Register source, int factor)
    {
        Byte(0x48 | (int)target >> 3 << 2 | (int)source >> 3);
        Byte(0x69);
        Byte(0xC0 | ((int)target & 7) << 3 | (int)source & 7);
        Word(factor);
    }

    /// <summary>target += value.</summary>
    public void Add(Register target, int value)
    {
        Byte(0x48 | (int)target >> 3);
        Byte(0x81);
        Byte(0xC0 | (int)target & 7);
        Word(value);
    }

    /// <summary>target = the 8 bytes at [address + offset].</summary>
    public void Load(Register target, Register address, int offset) => Memory(0x8B, (int)target, address, offset);

    /// <summary>The 8 bytes at [address + offset] += source.</summary>
    public void AddTo(Register address, int offset, Register source) => Memory(0x01, (int)source, address, offset);

    /// <summary>The 8 bytes at [address + offset] = source.</summary>
    public void Store(Register source, Register address, int offset) => Memory(0x89, (int)source, address, offset);

    /// <summary>Subtracts one from the 8 bytes at [address + offset].</summary>
    public void Decrement(Register address, int offset) => Memory(0xFF, 1, address, offset);

    /// <summary>Subtracts one.</summary>
    public void Decrement(Register target)
    {
        Byte(0x48 | (int)target >> 3);
        Byte(0xFF);
        Byte(0xC8 | (int)target & 7);
    }

    /// <summary>Jumps back unless the last subtraction gave zero.</summary>
    public void JumpIfNotZero(int target)
    {
        Byte(0x0F);
        Byte(0x85);
        Word(target - (Length + 4));
    }

    /// <summary>Jumps ahead to <see cref="Land"/> unless the last subtraction gave zero.</summary>
    /// <returns>For <see cref="Land"/>.</returns>
    public int SkipIfNotZero()
    {
        JumpIfNotZero(Length + 6);
        return Length;
    }

    /// <summary>Calls the code at an address in one of the first eight registers.</summary>
    public void Call(Register address)
    {
        Byte(0xFF);
        Byte(0xD0 | (int)address);
    }

    /// <summary>Puts a register away.</summary>
    public void Push(Register register) => PushOrPop(0x50, register);

    /// <summary>Brings back what was put away last.</summary>
    public void Pop(Register register) => PushOrPop(0x58, register);

    /// <summary>Jumps over what follows, up to <see cref="Land"/>, when a register is zero.</summary>
    /// <returns>For <see cref="Land"/>.</returns>
    public int SkipIfZero(Register value)
    {
        General(0x85, value, value);
        Byte(0x0F);
        Byte(0x84);
        Word(0);
        return Length;
    }

    /// <summary>Jumps over what follows, up to <see cref="Land"/>, unless a register is zero.</summary>
    /// <returns>For <see cref="Land"/>.</returns>
    public int SkipIfNotZero(Register value)
    {
        General(0x85, value, value);
        return SkipIfNotZero();
    }

    /// <summary>Jumps over what follows, up to <see cref="Land"/>.</summary>
    /// <returns>For <see cref="Land"/>.</returns>
    public int Skip()
    {
        Byte(0xE9);
        Word(0);
        return Length;
    }

    /// <summary>Where a jump goes.</summary>
    public void Land(int jump) => BitConverter.TryWriteBytes(_code.AsSpan(jump - 4), Length - jump);

    /// <summary>Leaves the function.</summary>
    public void Return() => Byte(0xC3);

    /// <summary>Clears the upper halves of the registers, as callers that use SSE need.</summary>
    public void ClearUpperHalves()
    {
        Byte(0xC5);
        Byte(0xF8);
        Byte(0x77);
    }

    private void Memory(int operation, int register, Register address, int offset)
    {
        Byte(0x48 | register >> 3 << 2 | (int)address >> 3);
        Byte(operation);
        bool near = offset is >= sbyte.MinValue and <= sbyte.MaxValue;
        Byte((near ? 0x40 : 0x80) | (register & 7) << 3 | (int)address & 7);
        if (near) Byte(offset);
        else Word(offset);
    }

    private void General(int operation, Register target, Register source)
    {
        Byte(0x48 | (int)source >> 3 << 2 | (int)target >> 3);
        Byte(operation);
        Byte(0xC0 | ((int)source & 7) << 3 | (int)target & 7);
    }

    private void Vector(int operation, int target, int left, int right)
    {
        Prefix(1, 0, target, left, (right & 8) == 0, (right & 16) == 0, false);
        Byte(operation);
        Byte(0xC0 | (target & 7) << 3 | right & 7);
    }

    private void Vector(int map, int prefix, int operation, int target, int left, Register address, int offset, int size, bool broadcast)
    {
        Prefix(map, prefix, target, left, (int)address < 8, true, broadcast);
        Byte(operation);
        Operand(target, address, offset, size);
    }

    // Register numbers are stored complemented.
    private void Prefix(int map, int prefix, int target, int left, bool noB, bool noX, bool broadcast)
    {
        Byte(0x62);
        Byte(((target & 8) == 0 ? 0x80 : 0) | (noX ? 0x40 : 0) | (noB ? 0x20 : 0) | ((target & 16) == 0 ? 0x10 : 0) | map);
        Byte((~left & 15) << 3 | 4 | prefix);
        Byte(0x40 | (broadcast ? 0x10 : 0) | ((left & 16) == 0 ? 8 : 0));
    }

    private void Reserve(int bytes)
    {
        if (_code.Length - Length < bytes) Array.Resize(ref _code, Math.Max(2 * _code.Length, Length + bytes));
    }

    private void Byte(int value)
    {
        if (Length == _code.Length) Array.Resize(ref _code, Length * 2);
        _code[Length++] = (byte)value;
    }

    private void Word(int value)
    {
        for (int shift = 0; shift < 32; shift += 8) Byte(value >> shift);
    }
}
