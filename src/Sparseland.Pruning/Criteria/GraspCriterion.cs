using Sparseland.Pruning.Probing;
using Sparseland.Training.Autograd;
using Sparseland.Training.Data;
using Sparseland.Training.Losses;
using Sparseland.Training.Runs;

namespace Sparseland.Pruning.Criteria;

/// <summary>score = theta * (H g), kept when high: removing weights of low score preserves or raises the norm of the gradient.</summary>
/// <remarks>
/// Wang, Zhang and Grosse, "Picking Winning Tickets Before Training by Preserving Gradient Flow" (GraSP), ICLR 2020, section 4, equation 8: the paper removes the largest S = -theta (H g). The loss is the
/// cross-entropy of logits / T with T = 200; the gradient is the sum over two halves that hold as many samples of every class. H g comes from central differences of
/// gradients, (g(theta + e g) - g(theta - e g)) / 2e with e = 0.01 / ||g||, because backward passes are not recorded themselves;
/// the pattern of the ReLUs is held fixed meanwhile (<see cref="FixedPattern"/>), as double backpropagation does.
/// Difference to the authors' code: the network's own weights are scored, not a copy whose linear layers are drawn anew.
/// </remarks>
/// <param name="perClass">Samples of each class, both halves together; at least 2.</param>
/// <param name="temperature">T.</param>
/// <param name="freeRelus">Whether ReLUs may switch within the step of the differences. What comes out is no Hessian product then, but a change of the gradient over a step of length 0.01.</param>
public sealed class GraspCriterion(int perClass = 25, double temperature = 200, bool freeRelus = false) : INetworkCriterion
{
    private readonly int _perClass = perClass >= 2 ? perClass : throw new ArgumentOutOfRangeException(nameof(perClass), perClass, "At least 2.");
    private readonly double _temperature = temperature > 0 ? temperature : throw new ArgumentOutOfRangeException(nameof(temperature), temperature, "Above 0.");

    /// <inheritdoc/>
    public string Id => "grasp";

    /// <inheritdoc/>
    public CriterionNeeds Needs => CriterionNeeds.Data | CriterionNeeds.Labels | CriterionNeeds.Gradients | CriterionNeeds.DenseGradients;

    /// <inheritdoc/>
    public float[][] Score(NetworkScoreInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        NetworkProbe probe = input.RequireProbe();
        // A sum over samples does not depend on how they are halved as long as statistics are not taken per half; one batch of all is the sum.
        Batch batch = probe.Balanced(_perClass);
        LossFunction loss = (output, b) => Loss.CrossEntropy(output * (float)(1 / _temperature), b.Targets);
        float[][] theta = [.. input.Layers.Select((_, l) => input.Masked(l))];
        float[][] Product(NetworkProbe network)
        {
            float[][] result = HessianProduct(theta, point =>
            {
                network.SetValues(input.Layers, point);
                return network.Gradients(input.Layers, [batch], loss);
            });
            network.SetValues(input.Layers, theta);
            return result;
        }
        float[][] product;
        if (freeRelus)
        {
            product = Product(probe);
        }
        else
        {
            FixedPattern smooth = FixedPattern.Of(probe, batch);
            using var copy = new NetworkProbe(smooth.Model, smooth.Context);
            product = Product(copy);
        }
        return [.. theta.Select((w, l) => w.Select((v, i) => v * product[l][i]).ToArray())];
    }

    /// <summary>H g by central differences along the gradient.</summary>
    internal static float[][] HessianProduct(float[][] theta, Func<float[][], float[][]> gradient)
    {
        float[][] g = gradient(theta);
        double norm = Math.Sqrt(g.Sum(l => l.Sum(v => (double)v * v)));
        if (norm == 0) return [.. theta.Select(t => new float[t.Length])];
        double e = 0.01 / norm;
        float[][] Moved(double sign) => [.. theta.Select((t, l) => t.Select((v, i) => (float)(v + sign * e * g[l][i])).ToArray())];
        float[][] plus = gradient(Moved(1)), minus = gradient(Moved(-1));
        return [.. plus.Select((p, l) => p.Select((v, i) => (float)(((double)v - minus[l][i]) / (2 * e))).ToArray())];
    }
}
