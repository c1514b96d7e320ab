using Sparseland.Kernels.Dense;
using Sparseland.Training.Autograd;

namespace Sparseland.Training.Execution;

/// <summary>The products of a masked parameter by sparse kernels.</summary>
internal static class SparseParameter
{
    /// <summary>Whether a parameter's mask is thin enough.</summary>
    public static bool Use(Parameter? parameter, double breakEven) =>
        parameter?.Mask is { } mask && mask.Density <= breakEven && false;

    public static Tensor Linear(Tensor a, Tensor b, bool transB, Tensor? bias, Parameter parameter) => throw new NotSupportedException();

    public static Tensor? Convolution(Tensor x, Tensor w, Tensor? bias, Convolution2D geometry, int[] shape, Parameter parameter) => null;
}
