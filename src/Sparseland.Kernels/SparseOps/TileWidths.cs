namespace Sparseland.Kernels.SparseOps;

/// <summary>How many registers wide a tile is: a constant that the JIT specialises a kernel for.</summary>
internal interface ITileWidth
{
    /// <summary>Registers, 1 to 8.</summary>
    static abstract int Vectors { get; }
}

internal readonly struct Width1 : ITileWidth { public static int Vectors => 1; }

internal readonly struct Width2 : ITileWidth { public static int Vectors => 2; }

internal readonly struct Width3 : ITileWidth { public static int Vectors => 3; }

internal readonly struct Width4 : ITileWidth { public static int Vectors => 4; }

internal readonly struct Width5 : ITileWidth { public static int Vectors => 5; }

internal readonly struct Width6 : ITileWidth { public static int Vectors => 6; }

internal readonly struct Width7 : ITileWidth { public static int Vectors => 7; }

internal readonly struct Width8 : ITileWidth { public static int Vectors => 8; }

/// <summary>Work that is compiled once per tile width.</summary>
internal interface ITileWork
{
    void Run<TWidth>() where TWidth : struct, ITileWidth;
}

/// <summary>How a range of columns is cut into tiles of nearly equal width.</summary>
/// <param name="Count">Columns in all.</param>
/// <param name="Lanes">Floats of a register.</param>
/// <param name="MaxVectors">Widest tile in registers.</param>
internal readonly record struct Tiling(int Count, int Lanes, int MaxVectors)
{
    private int Vectors => (Count + Lanes - 1) / Lanes;

    /// <summary>Number of tiles.</summary>
    public int Tiles => (Vectors + MaxVectors - 1) / MaxVectors;

    /// <summary>First column, registers and columns of one tile; the last tile may end inside a register.</summary>
    public (int Start, int Vectors, int Width) Tile(int index)
    {
        int vectors = Vectors, tiles = Tiles, small = vectors / tiles, larger = vectors % tiles;
        int before = index * small + Math.Min(index, larger);
        int mine = small + (index < larger ? 1 : 0);
        int start = before * Lanes;
        return (start, mine, Math.Min(mine * Lanes, Count - start));
    }

    /// <summary>Calls work with the type for a number of registers.</summary>
    public static void Dispatch<TWork>(int vectors, TWork work) where TWork : ITileWork
    {
        switch (vectors)
        {
            case 1: work.Run<Width1>(); break;
            case 2: work.Run<Width2>(); break;
            case 3: work.Run<Width3>(); break;
            case 4: work.Run<Width4>(); break;
            case 5: work.Run<Width5>(); break;
            case 6: work.Run<Width6>(); break;
            case 7: work.Run<Width7>(); break;
            case 8: work.Run<Width8>(); break;
            default: throw new ArgumentOutOfRangeException(nameof(vectors));
        }
    }
}
