using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.Dense;

/// <summary>Passes whose outputs are the remainders of one image modulo a stride: the gradient of the input of a strided convolution.</summary>
/// <remarks>
/// A few images at a time, each remainder is computed as a small image of its own, in whole rows, and these are put together while they are in the cache.
/// Values written one by one to every other column took three quarters of the time.
/// </remarks>
internal unsafe struct PhasesJob : ILevelWork
{
    /// <summary>From so many images on there is work for all threads.</summary>
    public const int FewestImages = 8;

    /// <summary>Remainders at most: any stride of a network. Places for more need no memory worth naming, but a hostile model's strides are as long as its images.</summary>
    public const int MostPhases = 64;

    /// <summary>The passes by row and column of their remainder; their output is the whole.</summary>
    public ConvolutionJob[] Phases;

    public int StrideY, StrideX;

    /// <summary>Of the image that is put together.</summary>
    public int Height, Width;

    public readonly void Run<V>() where V : unmanaged, IVector<V>
    {
        ConvolutionJob first = Phases[0];
        // As many as fill the columns of a tile.
        int images = 1;
        foreach (ConvolutionJob phase in Phases) images = Math.Max(images, Math.Min(first.Batch, ConvolutionEngine.ImagesOfUnit(phase)));
        WorkPool.Run((first.Batch + images - 1) / images, new ImageParts<V>(this, images));
    }

    private readonly struct ImageParts<V>(PhasesJob job, int images) : IParts where V : unmanaged, IVector<V>
    {
        public void Run(int part)
        {
            ConvolutionJob all = job.Phases[0];
            int first = part * images, count = Math.Min(images, all.Batch - first), channels = all.Groups * all.Rows, planes = count * channels;
            using Scratch.Buffer small = Scratch.Rent((long)planes * job.Height * job.Width);
            float** places = stackalloc float*[job.Phases.Length];
            float* to = small.Pointer;
            for (int p = 0; p < job.Phases.Length; p++)
            {
                ConvolutionJob phase = job.Phases[p];
                PlanarSpec spec = phase.Spec;
                phase.Input += (nint)first * phase.Groups * spec.Channels * spec.Height * spec.Width;
                phase.Output = places[p] = to;
                phase.Batch = count;
                ConvolutionEngine.RunHere<V>(phase);
                to += (nint)planes * spec.Points;
            }
            float* target = all.Output + ((nint)first * channels * job.Height * job.Width);
            int phasesX = Math.Min(job.StrideX, job.Width);
            for (int plane = 0; plane < planes; plane++)
            {
                for (int y = 0; y < job.Height; y++)
                {
                    int p = y % job.StrideY * phasesX, height = (job.Height - (y % job.StrideY) + job.StrideY - 1) / job.StrideY;
                    nint row = ((nint)plane * height) + (y / job.StrideY);
                    if (job.StrideX == 2) Interleave(places[p] + (row * ((job.Width + 1) / 2)), places[p + 1] + (row * (job.Width / 2)), job.Width, target);
                    else
                    {
                        for (int px = 0; px < phasesX; px++)
                        {
                            float* from = places[p + px] + (row * ((job.Width - px + job.StrideX - 1) / job.StrideX));
                            for (int x = px; x < job.Width; x += job.StrideX) target[x] = *from++;
                        }
                    }
                    target += job.Width;
                }
            }
        }
    }

    // target [width] = even[0], odd[0], even[1], ...
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Interleave(float* even, float* odd, int width, float* target)
    {
        int x = 0;
        if (Avx.IsSupported)
        {
            for (; x + 16 <= width; x += 16)
            {
                Vector256<float> a = Vector256.Load(even), b = Vector256.Load(odd), low = Avx.UnpackLow(a, b), high = Avx.UnpackHigh(a, b);
                Avx.Permute2x128(low, high, 0x20).Store(target + x);
                Avx.Permute2x128(low, high, 0x31).Store(target + x + 8);
                even += 8;
                odd += 8;
            }
        }
        for (; x < width; x++) target[x] = (x & 1) == 0 ? *even++ : *odd++;
    }
}
