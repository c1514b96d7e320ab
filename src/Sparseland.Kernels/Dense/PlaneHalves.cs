using System.Runtime.CompilerServices;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>An image [channels, height, width] whose upper and lower pixels lie in two pieces of memory, all channels of one behind each other.</summary>
/// <remarks>
/// Two threads share the pixels of an image. Where a plane is in one piece, what a core fetches ahead at the end of its half is the other's, and has to be taken back when that writes it: with cores that share no cache (Zen 5)
/// a copy of such halves took more than ten times as long as one of halves in memory of their own. Each piece has room for some rows of the other: a kernel that reads beyond the cut fetches them first.
/// </remarks>
public readonly record struct PlaneHalves
{
    private const int Line = PlaneSpacing.Line;

    // Rows beyond the cut at most: a kernel of three rows with a stride of two, and a cut inside a row.
    private const int RowsBeyond = 3;

    // Floats that kernels may read behind the last plane.
    private const int Behind = 3 * Line;

    private PlaneHalves(int channels, int height, int width, int apart)
    {
        (Channels, Pixels) = (channels, checked(height * width));
        Cut = CutOf(Pixels);
        int beyond = checked(RowsBeyond * width);
        FirstEnd = Math.Min(PlaneSpacing.ToLines(Pixels), PlaneSpacing.ToLines(checked(Cut + beyond)));
        SecondStart = Math.Max(0, Cut - beyond) / Line * Line;
        // An odd number of cache lines, so that channels do not fall onto the same cache sets.
        Distance = (Math.Max(FirstEnd, PlaneSpacing.ToLines(Pixels) - SecondStart) / Line | 1) * Line;
        Piece = checked((channels * Distance) + Behind);
        if (apart == 0) apart = Piece;
        if (apart < Piece || apart % Line != 0) throw new ArgumentException($"Halves of {Piece} values cannot lie {apart} apart: whole lines of {Line} values.", nameof(apart));
        Second = apart - SecondStart;
        Length = checked(apart + Piece);
    }

    /// <summary>Planes.</summary>
    public int Channels { get; }

    /// <summary>Pixels of a plane.</summary>
    public int Pixels { get; }

    /// <summary>The first pixel of the lower half.</summary>
    public int Cut { get; }

    /// <summary>Floats from one plane of a half to the next.</summary>
    public int Distance { get; }

    /// <summary>Pixel p of channel c is at c * Distance + p in the upper half, and so many floats further in the lower one.</summary>
    public int Second { get; }

    /// <summary>Floats of one half.</summary>
    public int Piece { get; }

    /// <summary>Floats from the beginning of the upper half to the end of the lower one.</summary>
    public int Length { get; }

    /// <summary>The upper half has room for the pixels before this one.</summary>
    internal int FirstEnd { get; }

    /// <summary>The lower half has room for the pixels from this one on.</summary>
    internal int SecondStart { get; }

    /// <summary>How images of a shape lie.</summary>
    /// <param name="channels">At least 0.</param>
    /// <param name="height">Rows, at least 0.</param>
    /// <param name="width">Columns, at least 0.</param>
    /// <param name="apart">Floats from the beginning of the upper half to that of the lower one, whole lines; 0 where that follows at once.</param>
    /// <exception cref="OverflowException">Too many.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A size is negative.</exception>
    /// <exception cref="ArgumentException">The halves would overlap, or begin inside a line.</exception>
    public static PlaneHalves Of(int channels, int height, int width, int apart = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(channels);
        ArgumentOutOfRangeException.ThrowIfNegative(height);
        ArgumentOutOfRangeException.ThrowIfNegative(width);
        return new(channels, height, width, apart);
    }

    /// <summary>Where an image of so many pixels is cut: the first of two shares of its registers, as compiled products cut it (<see cref="SparseOps.Compiled.CompiledProduct{TSource}.ShareOf"/>).</summary>
    internal static int CutOf(int pixels) => (PlaneSpacing.ToLines(pixels) / Line + 1) / 2 * Line;

    /// <summary>Puts the halves of all planes together.</summary>
    internal unsafe void Join(float* halves, float* image)
    {
        for (int c = 0; c < Channels; c++) Join(halves, c, image + ((nint)c * Pixels));
    }

    /// <summary>Puts the halves of one plane together.</summary>
    internal unsafe void Join(float* halves, int channel, float* plane)
    {
        float* from = halves + ((nint)channel * Distance);
        int cut = Math.Min(Cut, Pixels);
        Unsafe.CopyBlockUnaligned(plane, from, (uint)cut * sizeof(float));
        Unsafe.CopyBlockUnaligned(plane + cut, from + Second + cut, (uint)(Pixels - cut) * sizeof(float));
    }

    /// <summary>Takes all planes apart.</summary>
    internal unsafe void Part(float* image, float* halves)
    {
        int cut = Math.Min(Cut, Pixels);
        for (int c = 0; c < Channels; c++, image += Pixels, halves += Distance)
        {
            Unsafe.CopyBlockUnaligned(halves, image, (uint)cut * sizeof(float));
            Unsafe.CopyBlockUnaligned(halves + Second + cut, image + cut, (uint)(Pixels - cut) * sizeof(float));
        }
    }

    /// <summary>Whether a half has room for pixels first .. end-1.</summary>
    internal bool Holds(int half, int first, int end) => half == 0 ? PlaneSpacing.ToLines(end) <= FirstEnd : first >= SecondStart;

    /// <summary>The lines of the other half among pixels first .. end-1.</summary>
    internal (int First, int End) Beyond(int half, int first, int end) => half == 0 ? (Cut, Math.Max(Cut, end)) : (Math.Min(first / Line * Line, Cut), Cut);
}
