using Sparseland.Model.Graph;

namespace Sparseland.Model.Operators.Coupling;

/// <summary>Constant targets for Reshape and Expand, written anew when sizes change.</summary>
public static class ShapeTargets
{
    /// <summary>Whether a constant target can say the output shape: at most one size remains to be derived (-1), others are numbers or copies (0).</summary>
    public static bool CanWriteReshape(TensorShape input, TensorShape output) => Reshape(input, output) is not null;

    /// <summary>A target for Reshape: numbers where sizes are known, 0 where the input's size at that place is copied, -1 once; null when that does not suffice.</summary>
    public static long[]? Reshape(TensorShape input, TensorShape output)
    {
        var target = new long[output.Rank];
        bool derived = false;
        for (int axis = 0; axis < output.Rank; axis++)
        {
            if (output[axis].IsKnown)
            {
                target[axis] = output[axis].Value;
                // A known 0 would read as "copy".
                if (target[axis] == 0) return null;
            }
            else if (axis < input.Rank && !input[axis].IsKnown && input[axis].Symbol is not null && input[axis].Symbol == output[axis].Symbol)
            {
                target[axis] = 0;
            }
            else if (!derived)
            {
                target[axis] = -1;
                derived = true;
            }
            else
            {
                return null;
            }
        }
        return target;
    }

    /// <summary>A target for Expand: the known sizes, and 1 where the input's own size stays; null when a size that is not known comes from the target.</summary>
    public static long[]? Expand(TensorShape input, TensorShape output)
    {
        var target = new long[output.Rank];
        for (int axis = 0; axis < output.Rank; axis++)
        {
            int own = axis - (output.Rank - input.Rank);
            if (output[axis].IsKnown) target[axis] = output[axis].Value;
            else if (own >= 0 && !input[own].IsKnown && input[own].Symbol is not null && input[own].Symbol == output[axis].Symbol) target[axis] = 1;
            else return null;
        }
        return target;
    }
}
