using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Sparseland.Kernels.Dense;

/// <summary>Where each tap of a convolution reads: the geometry that forward and both backward products share.</summary>
/// <remarks>
/// out[m, outY + i * outStepY, outX + j * outStepX] = sum over channels c and taps t of w[m, c, t] * in[c, i * stepY + dy[t], j * stepX + dx[t]],
/// zero outside the image, for (i, j) on a grid. The image of a channel is first laid out in <i>planes</i>: padded, and for
/// steps above one split by the remainder of the position. Then a tap is one constant offset, and neighbours on a grid row
/// are neighbours in memory whatever the stride.
/// </remarks>
internal sealed unsafe class PlanarSpec
{
    private readonly int[] _slotY;
    private readonly int[] _slotX;
    private readonly int _slots;
    private readonly int _minY;
    private readonly int _minX;
    private readonly int _stepY;
    private readonly int _stepX;
    private readonly int _planeRows;
    private readonly float _padding;
    private nint[]? _offsets;

    /// <summary>Lays out the planes; <paramref name="joinRows"/> says that grid rows are written one after the other.</summary>
    public PlanarSpec(int channels, int height, int width, int[] dy, int[] dx, int stepY, int stepX, int gridHeight, int gridWidth, bool joinRows, float padding = 0f)
    {
        _padding = padding;
        (Channels, Height, Width, Taps, GridHeight, GridWidth) = (channels, height, width, dy.Length, gridHeight, gridWidth);
        (_stepY, _stepX) = (stepY, stepX);
        OutHeight = gridHeight;
        OutWidth = gridWidth;
        TapOffsets = new nint[Taps];
        _slotY = _slotX = [];
        if (Taps == 0 || gridHeight == 0 || gridWidth == 0) return;

        _minY = dy.Min();
        _minX = dx.Min();
        int maxY = ((gridHeight - 1) * stepY) + dy.Max(), maxX = ((gridWidth - 1) * stepX) + dx.Max();
        InPlace = stepY == 1 && stepX == 1 && _minY >= 0 && _minX >= 0 && maxY < height && maxX < width;
        if (InPlace)
        {
            Pitch = width;
            ChannelSize = (nint)height * width;
            for (int t = 0; t < Taps; t++) TapOffsets[t] = ((nint)dy[t] * width) + dx[t];
            if (joinRows && Taps == 1 && gridHeight == height && gridWidth == width)
            {
                // A 1x1 convolution reads the image as one long row.
                GridWidth = gridHeight * gridWidth;
                GridHeight = 1;
                Pitch = GridWidth;
                IsFlat = true;
            }
            return;
        }

        Pitch = ((maxX - _minX) / stepX) + 1;
        _planeRows = ((maxY - _minY) / stepY) + 1;
        var slots = new Dictionary<(int, int), int>();
        for (int t = 0; t < Taps; t++)
        {
            (int y, int x) = ((dy[t] - _minY) % stepY, (dx[t] - _minX) % stepX);
            if (!slots.TryGetValue((y, x), out int slot)) slots.Add((y, x), slot = slots.Count);
            TapOffsets[t] = ((((nint)slot * _planeRows) + ((dy[t] - _minY) / stepY)) * Pitch) + ((dx[t] - _minX) / stepX);
        }
        _slots = slots.Count;
        _slotY = new int[_slots];
        _slotX = new int[_slots];
        foreach (((int y, int x), int slot) in slots) (_slotY[slot], _slotX[slot]) = (y, x);
        ChannelSize = (nint)_slots * _planeRows * Pitch;
    }

    /// <summary>Channels that are summed over.</summary>
    public int Channels { get; }

    public int Height { get; }

    public int Width { get; }

    public int Taps { get; }

    public int GridHeight { get; }

    public int GridWidth { get; }

    /// <summary>Distance of grid rows in a plane.</summary>
    public int Pitch { get; }

    /// <summary>Floats of the planes of one channel.</summary>
    public nint ChannelSize { get; }

    /// <summary>Where tap t of grid point (0, 0) is in the planes of its channel.</summary>
    public nint[] TapOffsets { get; }

    /// <summary>Whether the image itself serves as its plane.</summary>
    public bool InPlace { get; }

    /// <summary>Whether the grid was joined to one row.</summary>
    public bool IsFlat { get; }

    /// <summary>Height of the image that is written.</summary>
    public int OutHeight { get; init; }

    /// <summary>Width of the image that is written.</summary>
    public int OutWidth { get; init; }

    public int OutY { get; init; }

    public int OutX { get; init; }

    public int OutStepY { get; init; } = 1;

    public int OutStepX { get; init; } = 1;

    /// <summary>Whether grid rows are written to consecutive places.</summary>
    public bool WritesRows => OutStepX == 1;

    /// <summary>Grid points.</summary>
    public int Points => GridHeight * GridWidth;

    /// <summary>Length of the inner dimension.</summary>
    public int Depth => Channels * Taps;

    /// <summary>Floats from the first to the last grid point in a plane.</summary>
    public int FlatLength => Points == 0 ? 0 : ((GridHeight - 1) * Pitch) + GridWidth;

    /// <summary>Where grid point (i, j) is written in its image.</summary>
    public nint OutOffset(int i, int j) =>
        IsFlat ? j : (((nint)OutY + ((nint)i * OutStepY)) * OutWidth) + OutX + ((nint)j * OutStepX);

    /// <summary>Lays out one channel [height, width] in its planes.</summary>
    public void BuildChannel(float* source, float* target)
    {
        for (int slot = 0; slot < _slots; slot++)
        {
            int firstX = _minX + _slotX[slot];
            // The columns q of the plane whose source firstX + q * step lies inside the image.
            int begin = firstX >= 0 ? 0 : (-firstX + _stepX - 1) / _stepX;
            int end = firstX >= Width ? 0 : Math.Min(Pitch, ((Width - 1 - firstX) / _stepX) + 1);
            if (end < begin) end = begin = 0;
            int firstY = _minY + _slotY[slot];
            // The rows of the plane whose source lies inside the image.
            int above = Math.Min(_planeRows, firstY >= 0 ? 0 : (-firstY + _stepY - 1) / _stepY), below = firstY >= Height || end == begin ? above : Math.Clamp(((Height - 1 - firstY) / _stepY) + 1, above, _planeRows);
            float* row = source + (((nint)firstY + ((nint)above * _stepY)) * Width) + firstX;
            float* inside = target + ((nint)above * Pitch), under = target + ((nint)below * Pitch);
            new Span<float>(target, above * Pitch).Fill(_padding);
            if (_stepX == 1) PlaneRows.CopyPadded(row + begin, (nint)_stepY * Width, below - above, begin, end, Pitch, _padding, inside);
            else
            {
                for (; inside < under; inside += Pitch)
                {
                    for (int q = 0; q < begin; q++) inside[q] = _padding;
                    EveryNth.Copy(row + ((nint)begin * _stepX), _stepX, inside + begin, end - begin);
                    for (int q = end; q < Pitch; q++) inside[q] = _padding;
                    row += (nint)_stepY * Width;
                }
            }
            target += (nint)_planeRows * Pitch;
            new Span<float>(under, (_planeRows - below) * Pitch).Fill(_padding);
        }
    }

    /// <summary>What <see cref="FillOffsets"/> gives, kept for the life of the geometry, or null.</summary>
    public nint* Offsets => _offsets == null ? null : (nint*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(_offsets));

    /// <summary>Keeps the offsets: for geometries that are used again and again.</summary>
    public void KeepOffsets()
    {
        nint[] offsets = GC.AllocateUninitializedArray<nint>(Depth, pinned: true);
        fixed (nint* o = offsets) FillOffsets(o);
        _offsets = offsets;
    }

    /// <summary>Fills offsets [channels * taps]: where element k of the inner dimension of grid point (0, 0) is.</summary>
    public void FillOffsets(nint* offsets)
    {
        for (int c = 0; c < Channels; c++)
        {
            for (int t = 0; t < Taps; t++) *offsets++ = (c * ChannelSize) + TapOffsets[t];
        }
    }
}
