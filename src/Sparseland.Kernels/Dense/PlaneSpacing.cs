namespace Sparseland.Kernels.Dense;

/// <summary>How far apart the planes of images lie, where they do not follow each other without gaps.</summary>
/// <remarks>
/// Planes that begin with cache lines are for two threads that share the pixels of an image: a line that ends one thread's part and begins the other's is written by both, once for each channel.
/// Kernels may write anything into the gaps of an output, and what lies in those of an input plays no part. Where an input lies in halves, kernels write into its gaps too: pixels of the other half that they read.
/// </remarks>
/// <param name="Input">Floats from the beginning of one channel's plane [height, width] to the next one's, at least height * width; 0 for no gaps.</param>
/// <param name="Output">The same for output and residual.</param>
public readonly record struct PlaneSpacing(int Input, int Output)
{
    /// <summary>Floats of a cache line.</summary>
    public const int Line = 16;

    /// <summary>Where input lies in halves, which say how far apart planes are (<see cref="PlaneHalves"/>; single images alone): floats from the beginning of the upper to that of the lower one; 0 for one piece. Their distance of planes counts then, and not <see cref="Input"/>.</summary>
    public int InputApart { get; init; }

    /// <summary>The same for the output, beside <see cref="Output"/>. With either of them there is no residual.</summary>
    public int OutputApart { get; init; }

    /// <summary>Whether input lies in halves.</summary>
    internal bool InputInHalves => InputApart != 0;

    /// <summary>Whether output does.</summary>
    internal bool OutputInHalves => OutputApart != 0;

    /// <summary>Whether one of them does.</summary>
    internal bool HasHalves => InputInHalves || OutputInHalves;

    /// <summary>No gaps.</summary>
    public static PlaneSpacing None => default;

    /// <summary>Floats from one plane of so many pixels to the next when each begins with a cache line.</summary>
    /// <param name="pixels">At least 0.</param>
    /// <exception cref="OverflowException">Too many.</exception>
    public static int ToLines(int pixels) => checked(pixels + Line - 1) / Line * Line;

    /// <summary>Throws unless there are as many floats as images of a shape take.</summary>
    internal void Check(int length, int batch, int channels, int height, int width, bool isInput, string name)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(batch);
        bool inHalves = isInput ? InputInHalves : OutputInHalves;
        if (inHalves && batch != 1) throw new ArgumentException($"{batch} images in halves; expected one.", name);
        int plane = Of(isInput ? Input : Output, height * width, name);
        if (length == (inHalves ? PlaneHalves.Of(channels, height, width, isInput ? InputApart : OutputApart).Length : (long)batch * channels * plane)) return;
        throw new ArgumentException($"{length} elements; expected [{batch}, {channels}, {height}, {width}]{(inHalves ? " in halves" : plane == height * width ? "" : $" with planes {plane} floats apart")}.", name);
    }

    /// <summary>The distance of planes of so many pixels.</summary>
    internal static int Of(int distance, int pixels, string name)
    {
        if (distance == 0) return pixels;
        return distance >= pixels ? distance : throw new ArgumentException($"Planes of {pixels} pixels cannot lie {distance} floats apart.", name);
    }
}
