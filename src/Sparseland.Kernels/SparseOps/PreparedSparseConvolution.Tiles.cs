using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps;

/// <content>Convolutions whose rows share their columns (<see cref="TiledMatrix"/>).</content>
public sealed unsafe partial class PreparedSparseConvolution
{
    private readonly TiledOnce _tiled = new();

    // Columns as channel * taps + tap over the channels of all groups; the stored columns where there is one group.
    private int[]? _lines;

    /// <summary>The weight as tiles, or null where its rows share no columns, code is faster, or the geometry is not one for tiles.</summary>
    private TiledMatrix? GetTiled(ConvolutionPlan plan)
    {
        // Columns of all groups count on beyond those of one.
        if (!TileCode.IsUsable || (long)Shape.Groups * Shape.WeightsPerOutput > int.MaxValue) return null;
        if (_lines is null)
        {
            int perGroup = Shape.OutChannels / Shape.Groups;
            var lines = Shape.Groups == 1 ? _columns : (int[])_columns.Clone();
            for (int r = perGroup; r < Shape.OutChannels; r++)
            {
                for (int j = _rowPointers[r]; j < _rowPointers[r + 1]; j++) lines[j] += r / perGroup * Shape.WeightsPerOutput;
            }
            _lines = lines;
        }
        TiledMatrix? tiled = _tiled.Get(Shape.OutChannels, Shape.Groups * Shape.WeightsPerOutput, _rowPointers, _lines, _values, _version, byBlocks: plan.IsDirect);
        if (tiled is null || (Shape.Groups == 1 && !TiledProduct.Pays(tiled, (long)plan.OutHeight * plan.OutWidth))) return null;
        return plan.IsDirect || plan.OutHeight * plan.OutWidth == 0 || plan.GetTilePlanes(Shape, tiled) is not null ? tiled : null;
    }

    private partial struct ImagesCall
    {
        private readonly void Tiles(TiledMatrix matrix, int image)
        {
            ConvolutionPass pass = Passes[0];
            var product = new TiledProduct
            {
                Matrix = matrix,
                Input = Input + image * InputImage,
                InputStride = InputPlane,
                Columns = pass.Height * pass.Width,
                Output = Output + image * OutputImage,
                OutputStride = OutputPlane,
                Bias = Bias,
                Residual = Residual == null ? null : Residual + image * OutputImage,
                Clamp = Clamp,
            };
            if (TilePlanes is { } planes) new TiledConvolution { Planes = planes, Image = Input + image * InputImage, ImagePlane = InputPlane, Product = product }.Run();
            else product.Run();
        }
    }
}
