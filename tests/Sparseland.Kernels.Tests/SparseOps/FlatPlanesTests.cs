using Sparseland.Kernels.SparseOps;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.Tests.SparseOps;

/// <summary>Where taps read in planes that are taken apart.</summary>
public class FlatPlanesTests
{
    private const int Lanes = CompiledMatrix.Lanes;

    public static TheoryData<SparseConvolutionShape, int, int> Strides => new()
    {
        { Stride2(3) with { PadTop = 1, PadLeft = 1, PadBottom = 1, PadRight = 1 }, 28, 28 }, { Stride2(3) with { PadTop = 1, PadLeft = 1, PadBottom = 20, PadRight = 1 }, 112, 112 },
        { Stride2(3) with { PadTop = 1, PadLeft = 1, PadBottom = 100, PadRight = 1 }, 112, 112 }, { Stride2(3) with { PadTop = 20, PadLeft = 1, PadRight = 1 }, 28, 28 },
        { Stride2(1) with { PadBottom = 1 }, 28, 28 }, { Stride2(1) with { PadBottom = 9, PadTop = -4 }, 28, 28 }, { Stride2(7) with { PadTop = 3, PadLeft = 3, PadBottom = 12, PadRight = 2 }, 32, 64 },
        { Stride2(3) with { PadTop = -3, PadLeft = 1, PadBottom = 14, PadRight = 1 }, 28, 28 }, { Stride2(2) with { PadTop = 5, PadLeft = -3, PadBottom = -4, PadRight = 4 }, 16, 34 },
        { Stride2(3) with { DilationHeight = 5, PadTop = 1, PadLeft = 1, PadBottom = 27, PadRight = 1 }, 28, 28 },
    };

    [Theory, MemberData(nameof(Strides))]
    public void Taps_read_inside_a_band_and_its_margins(SparseConvolutionShape shape, int height, int width)
    {
        int outHeight = shape.OutHeight(height), outWidth = shape.OutWidth(width), pixels = outHeight * outWidth;
        FlatPlanes layout = FlatPlanes.TryCreate(shape, height, width, height * width, outHeight, outWidth)!;
        Assert.NotNull(layout);
        var offsets = new int[layout.Taps];
        // Groups of tiles, as they are packed.
        foreach (int tiles in (int[])[1, 3, 16, layout.Tiles])
        {
            for (int tile = 0; tile < layout.Tiles; tile += tiles)
            {
                int until = Math.Min(tile + tiles, layout.Tiles);
                (int first, int end) = layout.Reach(tile * Lanes / outWidth, (Math.Min(until * Lanes, pixels) - 1) / outWidth + 1);
                int plane = layout.BandStride(end - first);
                layout.BandOffsets(first, plane, offsets);
                Assert.True(offsets.Min() + tile * Lanes >= -layout.BandMargin, $"{tile} of {tiles} begins at {offsets.Min() + tile * Lanes}, margin {layout.BandMargin}");
                int last = offsets.Max() + until * Lanes, all = layout.Phases * plane + layout.BandMargin;
                Assert.True(last <= all, $"{tile} of {tiles} ends at {last} of {all}");
            }
        }
    }

    [Fact]
    public void Geometries_out_of_all_proportion_have_none()
    {
        SparseConvolutionShape shape = Stride2(3) with { PadTop = 1, PadLeft = 1, PadRight = 1 };
        foreach (SparseConvolutionShape far in (SparseConvolutionShape[])[shape with { PadBottom = 1_000_000 }, shape with { PadTop = 1_000_000 }, shape with { PadTop = 1_000_000, PadBottom = -999_990 }])
            Assert.Null(FlatPlanes.TryCreate(far, 112, 112, 112 * 112, far.OutHeight(112), far.OutWidth(112)));
        // Without a stride planes are the image, and reads are compared with its end; but masks have their number.
        SparseConvolutionShape same = new(1, 1, 401, 401) { PadTop = 200, PadLeft = 200, PadBottom = 200, PadRight = 200 };
        Assert.Null(FlatPlanes.TryCreate(same, 400, 400, 400 * 400, 400, 400));
        Assert.NotNull(FlatPlanes.TryCreate(new(1, 1, 3, 3) { PadTop = 1, PadLeft = 1, PadBottom = 90, PadRight = 1 }, 8, 8, 64, 97, 8));
    }

    private static SparseConvolutionShape Stride2(int kernel) => new(2, 3, kernel, kernel) { StrideHeight = 2, StrideWidth = 2 };
}
