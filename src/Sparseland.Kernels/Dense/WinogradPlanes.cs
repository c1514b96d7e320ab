using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps;

namespace Sparseland.Kernels.Dense;

/// <summary>Images [batch, channels, height, width] with even sides in tiles of 2 x 2 pixels, cut into blocks: bands of rows of tiles of one image, or a few whole images.</summary>
internal readonly unsafe struct WinogradPlanes
{
    private readonly int _batch, _height, _width, _rowsPerBlock, _bands, _images;

    /// <summary>Cuts images into blocks of about <paramref name="tiles"/> tiles.</summary>
    public WinogradPlanes(int batch, int height, int width, int tiles)
    {
        (_batch, _height, _width) = (batch, height, width);
        int rows = height / 2, perRow = width / 2;
        _rowsPerBlock = Math.Clamp(tiles / perRow, 1, rows);
        _bands = (rows + _rowsPerBlock - 1) / _rowsPerBlock;
        _rowsPerBlock = (rows + _bands - 1) / _bands;
        _images = _bands > 1 ? 1 : Math.Clamp(tiles / (rows * perRow), 1, batch);
        Blocks = checked((batch + _images - 1) / _images * _bands);
    }

    /// <summary>Blocks of all images.</summary>
    public int Blocks { get; }

    /// <summary>The most tiles of a block, filled up to whole tiles of a product.</summary>
    public int MostTiles => (_images * _rowsPerBlock * (_width / 2) + WinogradProduct.Rows - 1) / WinogradProduct.Rows * WinogradProduct.Rows;

    /// <summary>Floats that a band of one image takes with a row above and one below, channels side by side, and zeros for the columns beside it.</summary>
    public int BandFloats(int channels) => checked(((((2 * _rowsPerBlock) + 2) * _width) + 1) * channels);

    /// <summary>The images and rows of tiles of a block.</summary>
    public Block this[int index]
    {
        get
        {
            int image = index / _bands * _images, row = index % _bands * _rowsPerBlock;
            return new Block(image, Math.Min(_images, _batch - image), row, Math.Min(_rowsPerBlock, (_height / 2) - row), _width / 2);
        }
    }

    /// <summary>The transformed tiles of some images' rows, as [panels][tile][channels of a panel] for each point.</summary>
    /// <param name="x">The first of these channels in [batch, all, height, width].</param>
    /// <param name="all">Channels of an image.</param>
    /// <param name="channels">Channels that are transformed, a multiple of 16.</param>
    /// <param name="block">Which of them.</param>
    /// <param name="band">Working memory: <see cref="BandFloats"/>.</param>
    /// <param name="panel">Channels of a panel.</param>
    /// <param name="to">Receives the tiles.</param>
    /// <param name="tiles">Tiles of a panel.</param>
    /// <param name="step">Distance of points.</param>
    public void Input<V>(float* x, int all, int channels, in Block block, float* band, int panel, float* to, int tiles, nint step) where V : unmanaged, IVector<V>
    {
        nint pitch = (nint)_width * channels;
        float* zeros = band + (((2 * _rowsPerBlock) + 2) * pitch);
        new Span<float>(zeros, channels).Clear();
        int index = 0, top = (2 * block.Row) - 1, end = top + (2 * block.Rows) + 2, from = Math.Max(top, 0), until = Math.Min(end, _height);
        if (from > top) new Span<float>(band, (int)pitch).Clear();
        if (until < end) new Span<float>(band + ((until - top) * pitch), (int)pitch).Clear();
        for (int image = 0; image < block.Images; image++)
        {
            float* source = x + (((nint)(block.Image + image) * all * _height) + from) * _width;
            Transposition.Copy(source, (nint)_height * _width, channels, (until - from) * _width, band + ((from - top) * pitch), channels);
            for (int row = 0; row < block.Rows; row++)
            {
                for (int column = 0; column < block.Columns; column++, index++)
                {
                    float* pixel = band + (2 * row * pitch) + (2 * column * channels);
                    bool left = column == 0, right = column == block.Columns - 1;
                    var tile = new WinogradTransforms.Tile
                    {
                        C0 = left ? zeros : pixel - channels,
                        Step0 = left ? 0 : pitch,
                        C1 = pixel,
                        C2 = pixel + channels,
                        Step = pitch,
                        C3 = right ? zeros : pixel + (2 * channels),
                        Step3 = right ? 0 : pitch,
                    };
                    for (int c = 0; c < channels; c += panel)
                    {
                        int count = Math.Min(panel, channels - c);
                        WinogradTransforms.Input<V>(tile, count, to + ((nint)c * tiles) + ((nint)index * count), step);
                        tile.C0 += count;
                        tile.C1 += count;
                        tile.C2 += count;
                        tile.C3 += count;
                    }
                }
            }
        }
    }

    /// <summary>As <see cref="Input"/>, of the gradient of an output.</summary>
    /// <param name="g">The first of these channels in [batch, all, height, width].</param>
    /// <param name="all">Channels of an image.</param>
    /// <param name="channels">Channels that are transformed, a multiple of 16.</param>
    /// <param name="block">Images and rows.</param>
    /// <param name="band">Working memory: <see cref="BandFloats"/>.</param>
    /// <param name="panel">Channels of a panel.</param>
    /// <param name="to">Receives the tiles.</param>
    /// <param name="tiles">Tiles of a panel.</param>
    /// <param name="step">Distance of points.</param>
    public void Gradient<V>(float* g, int all, int channels, in Block block, float* band, int panel, float* to, int tiles, nint step) where V : unmanaged, IVector<V>
    {
        nint pitch = (nint)_width * channels;
        int index = 0;
        for (int image = 0; image < block.Images; image++)
        {
            float* source = g + ((((nint)(block.Image + image) * all * _height) + (2 * block.Row)) * _width);
            Transposition.Copy(source, (nint)_height * _width, channels, 2 * block.Rows * _width, band, channels);
            for (int row = 0; row < block.Rows; row++)
            {
                for (int column = 0; column < block.Columns; column++, index++)
                {
                    float* pixel = band + (2 * row * pitch) + (2 * column * channels);
                    for (int c = 0; c < channels; c += panel)
                    {
                        int count = Math.Min(panel, channels - c);
                        WinogradTransforms.Gradient<V>(pixel + c, channels, pitch, count, to + ((nint)c * tiles) + ((nint)index * count), step);
                    }
                }
            }
        }
    }

    /// <summary>The outputs of some channels: [channels of a panel] of each point and tile in, planes out.</summary>
    /// <param name="m">[tile, channels] of the first point.</param>
    /// <param name="step">Distance of points.</param>
    /// <param name="panel">Channels in m.</param>
    /// <param name="bias">Of these channels, or null.</param>
    /// <param name="block">Images and rows.</param>
    /// <param name="band">Working memory: <see cref="BandFloats"/> of a panel.</param>
    /// <param name="y">[batch, channels, height, width].</param>
    /// <param name="channels">Channels of y.</param>
    /// <param name="channel">The first of these.</param>
    /// <param name="check">[16]: becomes NaN where a result is not finite.</param>
    public void Output<V>(float* m, nint step, int panel, float* bias, in Block block, float* band, float* y, int channels, int channel, float* check) where V : unmanaged, IVector<V>
    {
        nint pitch = (nint)_width * panel, plane = (nint)_height * _width;
        for (int image = 0; image < block.Images; image++)
        {
            for (int row = 0; row < block.Rows; row++)
            {
                for (int column = 0; column < block.Columns; column++, m += panel)
                {
                    WinogradTransforms.Output<V>(m, step, panel, bias, band + (2 * row * pitch) + (2 * column * panel), panel, pitch, check);
                }
            }
            float* target = y + ((((nint)(block.Image + image) * channels) + channel) * plane) + (2 * block.Row * _width);
            Transposition.Copy(band, panel, 2 * block.Rows * _width, panel, target, plane);
        }
    }

    /// <summary>Rows of tiles of some images.</summary>
    /// <param name="Image">The first image.</param>
    /// <param name="Images">How many; more than one have all their rows.</param>
    /// <param name="Row">The first row of tiles.</param>
    /// <param name="Rows">How many.</param>
    /// <param name="Columns">Tiles of a row.</param>
    public readonly record struct Block(int Image, int Images, int Row, int Rows, int Columns)
    {
        /// <summary>Tiles.</summary>
        public int Tiles => Images * Rows * Columns;
    }
}
