using Sparseland.Kernels.Dense;
using Sparseland.Kernels.Simd;
using Sparseland.Kernels.SparseOps.Compiled;

namespace Sparseland.Kernels.SparseOps;

/// <content>Single images whose halves lie in memory of their own (<see cref="PlaneHalves"/>).</content>
public sealed unsafe partial class PreparedSparseConvolution
{
    /// <summary>Whether input or output of a forward pass without residual may lie in halves and none is put together for it: depthwise convolutions, and compiled ones whose threads would share the pixels: of 1 x 1, or for the output alone of a stride.</summary>
    /// <remarks>What such a pass needs is prepared, as by the first one: code is written.</remarks>
    /// <param name="height">Rows of the image.</param>
    /// <param name="width">Columns of the image.</param>
    /// <param name="isInput">Whether the input is meant, or the output.</param>
    public bool TakesHalves(int height, int width, bool isInput)
    {
        if (IsDepthwise(1, height, width) is { } geometry) return DepthwiseKernel.HasBands(geometry);
        if (!CompiledMatrix.Usable) return false;
        ConvolutionPlan plan = GetPlan(height, width);
        if (GetTiled(plan) is not null || plan.Forward.GetCompiled(_version) is not CompiledMatrix code) return false;
        if (plan.OutHeight * plan.OutWidth < LeastTiles * CompiledMatrix.Lanes) return false;
        return TakesHalves(plan, code, isInput, isOutput: !isInput);
    }

    // Fewer tiles have their rows shared.
    private const int LeastTiles = 8;

    private static bool TakesHalves(ConvolutionPlan plan, CompiledMatrix code, bool isInput, bool isOutput)
    {
        if (plan.IsDirect) return true;
        return isOutput && !isInput && code.Planes is null && plan.Forward.Flat(plan.Height * plan.Width) is { IsImage: false, IsUnmasked: false };
    }

    private void ForwardHalves(ReadOnlySpan<float> input, int batch, int height, int width, Span<float> output, ReadOnlySpan<float> bias, ReadOnlySpan<float> residual, Clamp activation, PlaneSpacing spacing, ConvolutionPlan plan)
    {
        if (!residual.IsEmpty) throw new ArgumentException("Images in halves have no residual.", nameof(residual));
        spacing.Check(input.Length, batch, Shape.InChannels, height, width, isInput: true, nameof(input));
        spacing.Check(output.Length, batch, Shape.OutChannels, plan.OutHeight, plan.OutWidth, isInput: false, nameof(output));
        PreparedSpMM.CheckOptional(bias.Length, Shape.OutChannels, nameof(bias));
        PlaneHalves from = PlaneHalves.Of(Shape.InChannels, height, width, spacing.InputApart), to = PlaneHalves.Of(Shape.OutChannels, plan.OutHeight, plan.OutWidth, spacing.OutputApart);
        int inputPlane = PlaneSpacing.Of(spacing.Input, height * width, nameof(spacing)), outputPlane = PlaneSpacing.Of(spacing.Output, plan.OutHeight * plan.OutWidth, nameof(spacing));
        fixed (float* pi = input, po = output, pb = bias)
        {
            ImagesCall call = ForwardCall(plan, 1, pi, inputPlane, po, outputPlane, pb, null, activation);
            if (call.Compiled[0] is CompiledMatrix code && TakesHalves(plan, code, spacing.InputInHalves, spacing.OutputInHalves))
            {
                if (spacing.InputInHalves) (call.InputPlane, call.InputSecond) = (from.Distance, from.Second);
                if (spacing.OutputInHalves) (call.OutputPlane, call.OutputSecond) = (to.Distance, to.Second);
                SimdDispatch.Run(call);
                return;
            }
            // Other kernels, of other machines and other instruction sets, have images in one piece.
            using Scratch.Buffer whole = Scratch.Rent(spacing.InputInHalves ? (long)Shape.InChannels * height * width : 0), result = Scratch.Rent(spacing.OutputInHalves ? (long)Shape.OutChannels * to.Pixels : 0);
            if (spacing.InputInHalves)
            {
                from.Join(pi, whole.Pointer);
                call.Input = whole.Pointer;
                call.InputPlane = from.Pixels;
            }
            if (spacing.OutputInHalves)
            {
                call.Output = result.Pointer;
                call.OutputPlane = to.Pixels;
            }
            SimdDispatch.Run(call);
            if (spacing.OutputInHalves) to.Part(result.Pointer, po);
        }
    }
}
