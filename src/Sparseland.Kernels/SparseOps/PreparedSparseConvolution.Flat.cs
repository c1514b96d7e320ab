using Sparseland.Kernels.Dense;
using Sparseland.Kernels.SparseOps.Compiled;
using Sparseland.Kernels.Threading;

namespace Sparseland.Kernels.SparseOps;

/// <content>Compiled convolutions of single images whose planes have rows as long as the result's (<see cref="FlatPlanes"/>).</content>
public sealed unsafe partial class PreparedSparseConvolution
{
    private partial struct ImagesCall
    {
        private readonly void Flat(FlatPlanes layout, CodedMatrix code, int image)
        {
            float* from = Input + image * InputImage;
            ConvolutionPass pass = Passes[0];
            if (layout.IsImage) Product(code, new FlatSource { Planes = from, Lines = code.Lines, Layout = layout }, pass, image);
            else if (layout.IsUnmasked) Apart(layout, Call(code, new LineSource { Stride = layout.PlaneStride, Columns = pass.Height * pass.Width, Lines = code.Lines }, pass, image), from);
            else
            {
                CompiledProduct<ApartSource> call = Call(code, new ApartSource { Image = from, Lines = code.Lines, Layout = layout, Pixels = pass.Height * pass.Width }, pass, image);
                int threads = WorkPool.IsAlone ? 1 : WorkPool.Threads;
                if (threads == 1 || call.SharesTiles(threads)) call.Run();
                else Apart(layout, Call(code, new FlatSource { Lines = code.Lines, Layout = layout }, pass, image), from);
            }
        }

        /// <summary>Takes an image apart and multiplies.</summary>
        private readonly void Apart<TSource>(FlatPlanes layout, CompiledProduct<TSource> call, float* image) where TSource : struct, IPlaneSource
        {
            int threads = WorkPool.IsAlone ? 1 : WorkPool.Threads;
            if (threads > 1 && call.SharesTiles(threads))
            {
                WorkPool.Run(threads, new FlatBandParts<TSource> { Layout = layout, Width = Passes[0].Width, Image = image, Threads = threads, Call = call });
                return;
            }
            using Scratch.Buffer planes = Scratch.Rent(layout.TotalLength);
            const int ChannelsPerPart = 16;
            WorkPool.Run((layout.Channels + ChannelsPerPart - 1) / ChannelsPerPart, new FlatFillParts { Layout = layout, Image = image, Planes = planes.Pointer, PerPart = ChannelsPerPart });
            call.Source.Place(planes.Pointer);
            call.Run();
        }
    }

    /// <summary>Every thread takes apart the rows of pixels that its tiles read, as in <see cref="BandParts"/>.</summary>
    private struct FlatBandParts<TSource> : IParts where TSource : struct, IPlaneSource
    {
        public FlatPlanes Layout;
        public int Width, Threads;
        public float* Image;
        public CompiledProduct<TSource> Call;

        public readonly void Run(int part)
        {
            int first = Call.ShareOf(part, Threads), end = Call.ShareOf(part + 1, Threads);
            (int firstRow, int endRow) = Layout.Reach(first * CompiledMatrix.Lanes / Width, (Math.Min(end * CompiledMatrix.Lanes, Call.Columns) - 1) / Width + 1);
            using Scratch.Buffer planes = Scratch.Rent(Layout.TotalLength);
            Layout.Fill(Image, planes.Pointer, 0, Layout.Channels, firstRow, endRow);
            CompiledProduct<TSource> call = Call;
            call.Source.Place(planes.Pointer);
            call.RunTiles(first, end);
        }
    }

    private struct FlatFillParts : IParts
    {
        public FlatPlanes Layout;
        public float* Image;
        public float* Planes;
        public int PerPart;

        public readonly void Run(int part) => Layout.Fill(Image, Planes, part * PerPart, Math.Min((part + 1) * PerPart, Layout.Channels), 0, Layout.Rows);
    }
}
