namespace Sparseland.Kernels.Dense;

/// <summary>The heights of the panels that the rows of a convolution's weights are packed in: as many as tiles have, and of four where that leaves fewer rows of zeros.</summary>
/// <remarks>
/// Numbers of channels are powers of two more often than not, and none of those is a multiple of six: 16 and 32 channels would be computed as 18 and 36. Panels of six and one or two of four fill every even number of rows;
/// the exceptions are numbers that are two above a multiple of 24, where tiles of rows may be cut (<see cref="ConvolutionEngine"/>).
/// </remarks>
internal readonly struct RowPanels
{
    /// <summary>Rows of a low panel.</summary>
    public const int Low = 4;

    private const int Unit = 24;
    private readonly int _height;

    /// <summary>The panels of so many rows for tiles of <paramref name="height"/> rows.</summary>
    public RowPanels(int rows, int height)
    {
        _height = height;
        int low = height != 6 ? 0 : (rows % 6) switch
        {
            4 => Low,
            2 when rows % Unit != 2 => 2 * Low,
            _ => 0,
        };
        Tall = low > 0 ? rows - low : (rows + height - 1) / height * height;
        Rows = Tall + low;
    }

    /// <summary>Rows of all panels, those of zeros too.</summary>
    public int Rows { get; }

    /// <summary>Rows before the first low panel.</summary>
    public int Tall { get; }

    /// <summary>The height of the panel that begins with a row.</summary>
    public int HeightAt(int row) => row < Tall ? _height : Low;
}
