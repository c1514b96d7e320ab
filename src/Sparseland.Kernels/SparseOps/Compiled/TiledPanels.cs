using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Dense;

namespace Sparseland.Kernels.SparseOps.Compiled;

/// <summary>A share of a product with tiles whose columns are in blocks: the inputs of a block are packed for some registers of columns, and all tiles are multiplied with them before others are packed.</summary>
/// <remarks>
/// Where inputs are read where they are, a tile takes 96 bytes of each line that it meets, which begin anywhere in two or three lines of the cache, and which the tiles before have driven out of the first one. A core whose multiply-adds take
/// 256 bits at once waits for the second cache there. A packed panel is read in a row and in whole: 4x1 blocks of 512 x 2048 by 49 columns at 80 % zeros went from 24 to 48 GFLOP/s to 68 to 75, of 256 x 2304 by 196 from 38 to 71 (Zen 3, a prototype
/// with caches emptied between the calls). Between blocks the sums of a tile wait in lines of their own.
/// Those have no bound: they are as many as a share has rows, in both pieces that are packed together. Of 11008 rows they are 1 MB a piece, more than many a second cache holds; rows are not cut into chunks for that.
/// </remarks>
internal unsafe struct TiledPanels : ITiledWork
{
    // Pieces that are packed in one go: 2 of 24 columns are three whole lines of the cache. One took 3 to 5 % longer, four of them keep too much.
    private const int Together = 2;

    // Lines further what lies there is asked for: pieces of rows are too short for what a core fetches ahead by itself.
    private const int Ahead = 8, LineFloats = 16;

    public TiledProduct Product;

    private readonly TiledMatrix Matrix => Product.Matrix;

    public readonly void Run(int first, int end, int firstTile, int endTile)
    {
        int lanes = Matrix.Code.Lanes, start = first * lanes, width = Math.Min(Product.Columns, end * lanes) - start, registers = width / lanes, rest = width % lanes;
        (int size, int larger, int groups) = Product.Cut(registers, rest, packed: true);
        // Of the widest piece.
        int widest = size + (larger > 0 || rest > 0 ? 1 : 0), tiles = endTile - firstTile;
        nint panel = ((nint)Matrix.BlockDepth * widest * lanes + LineFloats - 1) / LineFloats * LineFloats, sums = Matrix.Blocks > 1 ? (nint)tiles * (Matrix.Height * widest + rest) * lanes : 0;
        using Scratch.Buffer panels = Scratch.Rent(Together * panel), waiting = Scratch.Rent(Together * sums);
        TiledProduct.Piece* pieces = stackalloc TiledProduct.Piece[Together];
        for (int g = 0; g < groups; g += Together)
        {
            int count = Math.Min(Together, groups - g);
            for (int p = 0; p < count; p++)
            {
                int at = g + p;
                var piece = new TiledProduct.Piece(start + (at * size + Math.Min(at, larger)) * lanes, size + (at < larger ? 1 : 0), 1, at == groups - 1 ? rest : 0, false);
                pieces[p] = piece with { Sums = (nint)(waiting.Pointer + p * sums - (nint)firstTile * piece.SumsOfATile(Matrix.Height, lanes)) };
            }
            for (int b = 0; b < Matrix.Blocks; b++)
            {
                Pack(b, pieces, count, panels.Pointer, panel);
                for (int p = 0; p < count; p++)
                {
                    TiledProduct.Piece piece = pieces[p] with { Block = b, Continues = b > 0, Waits = b < Matrix.Blocks - 1 };
                    Product.Chunk(piece, panels.Pointer + p * panel, Line(piece), piece.Registers * lanes + piece.LaneColumns, firstTile, endTile);
                }
            }
        }
    }

    /// <summary>Floats of a line of a piece's panel.</summary>
    private readonly int Line(in TiledProduct.Piece piece) => (piece.Registers + (piece.LaneColumns > 0 ? 1 : 0)) * Matrix.Code.Lanes;

    /// <summary>Copies a block's lines of neighbouring pieces to a panel each. Whole registers are read: those behind the end of a row hold what begins the next one, and nobody reads them.</summary>
    private readonly void Pack(int block, TiledProduct.Piece* pieces, int count, float* to, nint panel)
    {
        int first = block * Matrix.BlockDepth, end = Math.Min(first + Matrix.BlockDepth, Matrix.Depth), left = Line(pieces[0]), right = count > 1 ? Line(pieces[1]) : 0;
        // What is behind the last row is not the caller's.
        int whole = end == Matrix.Depth && pieces[count - 1].LaneColumns > 0 ? end - 1 : end;
        float* from = Product.Input + first * Product.InputStride + pieces[0].Start;
        Pack(from, Product.InputStride, whole - first, left, right, to, to + panel);
        if (whole == end) return;
        from = Product.Input + whole * Product.InputStride;
        for (int p = 0; p < count; p++)
        {
            TiledProduct.Piece piece = pieces[p];
            new ReadOnlySpan<float>(from + piece.Start, piece.Registers * Matrix.Code.Lanes + piece.LaneColumns).CopyTo(new Span<float>(to + p * panel + (nint)(whole - first) * Line(piece), Line(piece)));
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Pack(float* from, nint stride, int lines, int left, int right, float* to, float* next)
    {
        for (int i = 0; i < lines; i++, from += stride)
        {
            float* ahead = from + Ahead * stride;
            for (int x = 0; x < left + right; x += LineFloats) Sse.Prefetch0(ahead + x);
            int at = 0;
            for (; at < left; at += Vector256<float>.Count, to += Vector256<float>.Count) Vector256.Load(from + at).StoreAligned(to);
            for (; at < left + right; at += Vector256<float>.Count, next += Vector256<float>.Count) Vector256.Load(from + at).StoreAligned(next);
        }
    }
}
