using Sparseland.Kernels.Sparse;
using Sparseland.Training;

namespace Sparseland.Pruning.Programs;

/// <summary>The average of networks that were trained from one pruned network: the masks are the same, so the average is as sparse as each.</summary>
/// <remarks>Zimmer, Spiegel and Pokutta, "Sparse Model Soups: A Recipe for Improved Pruning via Model Averaging", ICLR 2024, section 3.</remarks>
public static class ModelSoup
{
    /// <summary>Sets a model to the uniform average of snapshots: weights, biases, norm parameters. Running statistics are those of the first and have to be measured again.</summary>
    /// <param name="model">The model.</param>
    /// <param name="ingredients">The snapshots, at least one, all with the same masks. Summed in this order, in double precision.</param>
    /// <exception cref="PruningException">SL4016: masks differ, so the average would be denser than its ingredients.</exception>
    public static void Average(TrainableModel model, IReadOnlyList<ModelSnapshot> ingredients)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(ingredients);
        ArgumentOutOfRangeException.ThrowIfZero(ingredients.Count, nameof(ingredients));
        foreach (Parameter p in model.Parameters)
        {
            Mask? mask = ingredients[0].Mask(p.Name);
            if (ingredients.Any(i => !Equals(i.Mask(p.Name), mask)))
            {
                throw new PruningException("SL4016", $"the masks of '{p.Name}' differ between the networks that are averaged")
                {
                    Because = "the average of networks with different masks is denser than each of them",
                    Try = "average networks that were trained from one pruned network",
                };
            }
        }
        ingredients[0].Restore(model);
        if (ingredients.Count == 1) return;
        foreach (Parameter p in model.Parameters)
        {
            Span<float> values = p.Value.Values;
            double[] sums = new double[values.Length];
            foreach (ModelSnapshot ingredient in ingredients)
            {
                IReadOnlyList<float> own = ingredient.Values(p.Name);
                for (int i = 0; i < sums.Length; i++) sums[i] += own[i];
            }
            for (int i = 0; i < sums.Length; i++) values[i] = (float)(sums[i] / ingredients.Count);
            p.TouchValues();
        }
    }
}
