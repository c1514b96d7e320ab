namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>The vector instructions of <see cref="TileCode"/>: with 32 registers of 16 lanes and masks (AVX-512), or with 16 of eight lanes (AVX2).</summary>
/// <param name="code">Where they are written.</param>
/// <param name="isWide">Whether registers have 16 lanes.</param>
internal readonly struct TileVectors(Assembler code, bool isWide)
{
    private const int Mask = 1, Narrow = 4;

    /// <summary>The register that no sum or input is in.</summary>
    public int Value => isWide ? 31 : 15;

    /// <summary>Bytes of a register.</summary>
    public int Bytes => isWide ? 64 : 32;

    /// <summary>
    /// Whether the next group's inputs are asked for. Groups of 96 bytes end inside lines and are too short for what the core fetches by itself: 128 x 1152 by 784 columns at 90 % zeros went from 15 to 26 GFLOP/s (Zen 1), 128 x 512 by 784 from 26 to 33.
    /// </summary>
    public bool AsksAhead => !isWide;

    public void SetMask(Register address, int offset) => code.LoadMask(Mask, 16, address, offset);

    public void Clear(int target)
    {
        if (isWide) code.Clear(target);
        else code.Clear256(target);
    }

    public void Copy(int target, int source)
    {
        if (isWide) code.Copy(target, source);
        else code.Copy256(target, source);
    }

    public void Load(int target, Register address, int offset, bool isMasked = false)
    {
        if (!isWide) code.Load256(target, address, offset);
        else if (isMasked) code.LoadMasked(target, Mask, address, offset);
        else code.Load(target, address, offset);
    }

    public void Store(int source, Register address, int offset, bool isMasked = false)
    {
        if (!isWide) code.Store256(source, address, offset);
        else if (isMasked) code.StoreMasked(source, Mask, address, offset);
        else code.Store(source, address, offset);
    }

    /// <summary>The float at an address in all lanes.</summary>
    public void Broadcast(int target, Register address, int offset)
    {
        if (isWide) code.Broadcast(target, address, offset);
        else code.Broadcast256(target, address, offset);
    }

    /// <summary>The float at an address in as many lanes as a tile has rows, or in more.</summary>
    public void BroadcastToRows(int target, int rows, Register address, int offset)
    {
        if (isWide) code.Broadcast(target, address, offset);
        else code.Broadcast256(target, address, offset, rows);
    }

    public void Add(int target, int left, int right)
    {
        if (isWide) code.Add(target, left, right);
        else code.Add256(target, left, right);
    }

    public void Max(int target, int left, int right)
    {
        if (isWide) code.Max(target, left, right);
        else code.Max256(target, left, right);
    }

    public void Min(int target, int left, int right)
    {
        if (isWide) code.Min(target, left, right);
        else code.Min256(target, left, right);
    }

    public void MultiplyAdd(int sum, int left, int right)
    {
        if (isWide) code.MultiplyAdd(sum, left, right);
        else code.MultiplyAdd256(sum, left, right);
    }

    /// <summary>sum += left * [address + offset], a whole register; only with 16 registers, which do not hold every input.</summary>
    public void MultiplyAdd(int sum, int left, Register address, int offset) => code.MultiplyAdd256(sum, left, address, offset);

    /// <summary>sum += left * [address + offset], a lane for each row of a tile.</summary>
    public void MultiplyAddRows(int sum, int left, int rows, Register address, int offset)
    {
        if (isWide) code.MultiplyAddLanes(sum, left, rows, address, offset);
        else code.MultiplyAdd256(sum, left, address, offset, rows);
    }

    /// <summary>target = [address], a lane for each row of a tile.</summary>
    public void LoadRows(int target, int rows, Register address)
    {
        if (isWide) code.LoadLanes(target, rows, address, 0);
        else code.Load256(target, address, 0, rows);
    }

    /// <summary>The lane of a row among the first four = the float at an address.</summary>
    public void LoadLane(int target, int lane, Register address, int offset)
    {
        if (isWide) code.LoadLane(target, lane, address, offset);
        else code.LoadLane256(target, lane, address, offset);
    }

    /// <summary>The float at an address = the lane of a row among the first four.</summary>
    public void StoreLane(int source, int lane, Register address, int offset)
    {
        if (isWide) code.StoreLane(source, lane, address, offset);
        else code.StoreLane256(source, lane, address, offset);
    }

    /// <summary>Lanes 4 to 7 of target = the first four of source.</summary>
    public void Join(int target, int source)
    {
        if (isWide) code.JoinLanes(target, source);
        else code.JoinLanes256(target, target, source);
    }

    /// <summary>The first four lanes of target = its lanes 4 to 7.</summary>
    public void TakeUpper(int target)
    {
        if (isWide) code.UpperLanes(target, target);
        else code.UpperLanes256(target, target);
    }
}
